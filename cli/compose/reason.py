"""Why fields of a service in a Compose file can't be expressed."""

NO_EFFECT = "it can't be expressed"

REASONS = {
    **dict.fromkeys(
        (
            *(
                "annotations",
                "blkio_config",
                "cap_add",
                "cap_drop",
                "cgroup",
                "cgroup_parent",
                "cpu_count",
                "cpu_percent",
            ),
            *("cpu_period", "cpu_quota", "cpu_rt_period", "cpu_rt_runtime", "cpu_shares", "cpuset", "credential_spec"),
            *("device_cgroup_rules", "devices", "dns", "dns_opt", "dns_search", "domainname", "extra_hosts", "gpus"),
            *(
                "group_add",
                "ipc",
                "isolation",
                "label_file",
                "mac_address",
                "mem_swappiness",
                "memswap_limit",
                "models",
            ),
            *("network_mode", "oom_kill_disable", "oom_score_adj", "pid", "pids_limit", "post_start", "pre_stop"),
            *("privileged", "provider", "read_only", "runtime", "security_opt", "stdin_open", "storage_opt", "sysctls"),
            *("tmpfs", "tty", "ulimits", "use_api_socket", "userns_mode", "uts", "volumes_from"),
        ),
        NO_EFFECT,
    ),
    "attach": "the output of every service is stored",
    "container_name": "containers have names of Stageline; others reach the service by its own name",
    "develop": "it is for `docker compose watch`",
    "external_links": "services of other environments can't be reached by name",
    "hostname": "the container's own name can't be chosen; others reach the service by its own name",
    "links": "others are reached by their names; an alias can't be expressed",
    "logging": "Stageline stores the output, and the engine rotates its own",
    "networks": "all services of an environment share one network; aliases can't be expressed",
}
"""The reason for each field of Compose that has no counterpart."""

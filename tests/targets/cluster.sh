#!/usr/bin/env bash
# Starts a Kubernetes cluster of one node, with a registry and a Docker engine, and runs a command beside it. It runs in
# namespaces of its own, so that all ends with it; see cluster.py, which makes them.
#
#   cluster.sh PROGRAMS FOLDER PYTHON COMMAND...
set -euo pipefail
programs=$1 folder=$2 python=$3
shift 3

ip link set lo up
ip link add node type bridge
ip addr add 192.0.2.2/24 dev node
ip link set node up
ip route add default via 192.0.2.1
echo 1 > /proc/sys/net/ipv4/ip_forward
for path in "$folder" /run /var/lib/cni /var/log /tmp/hostpath_pv; do # the last has the volumes
    mkdir -p "$path"
    mount -t tmpfs tmpfs "$path"
done
mkdir -p "$folder"/{log,cni,kubelet,keys,containerd,docker}
keys=$folder/keys

# One CA, one certificate for all servers, and a token for each client
(
    cd "$keys"
    openssl ecparam -name prime256v1 -genkey -noout -out ca.key
    openssl req -x509 -new -key ca.key -subj /CN=stageline-test -days 30 -out ca.crt
    openssl ecparam -name prime256v1 -genkey -noout -out server.key
    openssl req -new -key server.key -subj /O=system:masters/CN=kube-apiserver -out server.csr
    echo 'subjectAltName=DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.96.0.1' > names
    openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile names -out server.crt
    openssl genrsa -out accounts.key 2048
    openssl rsa -in accounts.key -pubout -out accounts.pub
) > "$folder/log/keys" 2>&1
printf '%s\n' 'admin,admin,1,system:masters' 'stageline,stageline,2' > "$keys/tokens.csv"
export KUBECONFIG=$keys/kubeconfig
cat > "$KUBECONFIG" << END
apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "https://127.0.0.1:16443", certificate-authority: ca.crt}}]
users: [{name: admin, user: {token: admin}}, {name: stageline, user: {token: stageline}}]
contexts: [{name: test, context: {cluster: test, user: admin}}, {name: restricted, context: {cluster: test, user: stageline}}]
current-context: test
END
api() { curl --silent --show-error --fail --cacert "$keys/ca.crt" --header 'Authorization: Bearer admin' "https://127.0.0.1:16443$@"; }

await() {
    for _ in $(seq 1200); do "${@:2}" > /dev/null 2>&1 && return; sleep 0.1; done
    echo "$1 did not start; the last lines of its log:" >&2
    tail -n 20 "$folder/log/$1" >&2
    exit 70
}

cat > "$folder/cni/10.conflist" << 'END'
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
 {"type": "bridge", "bridge": "pods", "isGateway": true, "ipMasq": true, "hairpinMode": true, "ipam":
  {"type": "host-local", "ranges": [[{"subnet": "10.244.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
 {"type": "portmap", "capabilities": {"portMappings": true}}]}
END
cat > "$folder/containerd.toml" << END
version = 2
root = "$folder/containerd/root"
state = "$folder/containerd/state"
[grpc]
  address = "$folder/containerd/socket"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$folder/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".registry.mirrors."127.0.0.1:15000"]
    endpoint = ["http://127.0.0.1:15000"]
END
cat > "$folder/registry.yaml" << END
version: 0.1
log: {level: warn}
storage: {filesystem: {rootdirectory: $folder/registry}, delete: {enabled: true}}
http: {addr: "127.0.0.1:15000"}
END
cat > "$folder/kubelet.yaml" << END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}, x509: {clientCAFile: $keys/ca.crt}}
authorization: {mode: AlwaysAllow}
address: 127.0.0.1
tlsCertFile: $keys/server.crt
tlsPrivateKeyFile: $keys/server.key
cgroupDriver: cgroupfs
failSwapOn: false
enforceNodeAllocatable: []
evictionHard: {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"}
podPidsLimit: -1
volumePluginDir: $folder/kubelet/plugins
resolvConf: /etc/resolv.conf
readOnlyPort: 0
healthzPort: 0
makeIPTablesUtilChains: false
syncFrequency: 5s
nodeStatusUpdateFrequency: 5s
END

containerd -c "$folder/containerd.toml" > "$folder/log/containerd" 2>&1 &
docker-registry serve "$folder/registry.yaml" > "$folder/log/registry" 2>&1 &
"$programs/etcd" --data-dir "$folder/etcd" --listen-client-urls http://127.0.0.1:16444 --advertise-client-urls \
    http://127.0.0.1:16444 --listen-peer-urls http://127.0.0.1:16445 --unsafe-no-fsync --log-level error \
    > "$folder/log/etcd" 2>&1 &
"$programs/kube-apiserver" --etcd-servers=http://127.0.0.1:16444 --bind-address=127.0.0.1 --secure-port=16443 \
    --advertise-address=192.0.2.2 --tls-cert-file="$keys/server.crt" --tls-private-key-file="$keys/server.key" \
    --client-ca-file="$keys/ca.crt" --token-auth-file="$keys/tokens.csv" --authorization-mode=Node,RBAC \
    --service-cluster-ip-range=10.96.0.0/16 --service-account-key-file="$keys/accounts.pub" \
    --service-account-signing-key-file="$keys/accounts.key" \
    --service-account-issuer=https://kubernetes.default.svc --allow-privileged=true \
    --kubelet-certificate-authority="$keys/ca.crt" --kubelet-client-certificate="$keys/server.crt" \
    --kubelet-client-key="$keys/server.key" --endpoint-reconciler-type=none > "$folder/log/apiserver" 2>&1 &
await containerd test -S "$folder/containerd/socket"
dockerd --containerd "$folder/containerd/socket" --data-root "$folder/docker/data" --exec-root "$folder/docker/exec" \
    --pidfile "$folder/docker/pid" --host "unix://$folder/docker/socket" > "$folder/log/docker" 2>&1 &
await apiserver api /readyz
options=(--kubeconfig="$KUBECONFIG" --authentication-kubeconfig="$KUBECONFIG" --authorization-kubeconfig="$KUBECONFIG"
    --leader-elect=false --bind-address=127.0.0.1 --port=0)
"$programs/kube-controller-manager" "${options[@]}" --secure-port=16446 \
    --service-account-private-key-file="$keys/accounts.key" --root-ca-file="$keys/ca.crt" \
    --enable-hostpath-provisioner > "$folder/log/controllers" 2>&1 &
"$programs/kube-scheduler" "${options[@]}" --secure-port=16447 > "$folder/log/scheduler" 2>&1 &

# The image of the tests, and the one that holds the namespaces of a Pod, are the same
docker() { curl --silent --show-error --fail --unix-socket "$folder/docker/socket" "http://docker$@"; }
await docker docker /_ping
"$python" -c 'import sys; from tests.targets.engine import base; sys.stdout.buffer.write(base())' > "$folder/base.tar"
sleeping='ENTRYPOINT%20%5B%22/bin/sleep%22%2C%222147483647%22%5D'
for image in 'repo=stageline-test/base&tag=1' "repo=localhost/pause&tag=1&changes=$sleeping"; do
    docker "/images/create?fromSrc=-&$image" --header "Content-Type: application/x-tar" --data-binary "@$folder/base.tar" > /dev/null
done
docker '/images/get?names=stageline-test/base:1&names=localhost/pause:1' > "$folder/images.tar"
ctr --address "$folder/containerd/socket" --namespace k8s.io images import "$folder/images.tar" > /dev/null

"$programs/kubelet" --config="$folder/kubelet.yaml" --kubeconfig="$KUBECONFIG" --root-dir="$folder/kubelet" \
    --container-runtime=remote --container-runtime-endpoint="unix://$folder/containerd/socket" \
    --hostname-override=localhost --node-ip=192.0.2.2 > "$folder/log/kubelet" 2>&1 &
is_ready() { api /api/v1/nodes/localhost | grep -A1 '"reason": "KubeletReady"' && api /api/v1/namespaces/default/serviceaccounts/default; }
await kubelet is_ready
# Claims get a folder of the node, as many as there are, and lose it when they are deleted
api /apis/storage.k8s.io/v1/storageclasses --header 'Content-Type: application/yaml' --data-binary @- > /dev/null << 'END'
{apiVersion: storage.k8s.io/v1, kind: StorageClass, provisioner: kubernetes.io/host-path,
 metadata: {name: folders, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}}
END

export TEST_KUBERNETES=test TEST_KUBERNETES_RESTRICTED=restricted TEST_DOCKER_HOST=unix://$folder/docker/socket TEST_REGISTRY=127.0.0.1:15000
status=0
"$@" || status=$?
if [[ -n ${KEEP_LOGS:-} ]]; then
    mkdir -p "$KEEP_LOGS"
    cp "$folder"/log/* "$KEEP_LOGS/"
fi
exit "$status"

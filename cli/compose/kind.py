"""The types of services, guessed."""

DATABASES = frozenset(
    {
        *("arangodb", "cassandra", "clickhouse", "clickhouse-server", "cockroach", "couchbase", "couchdb", "cp-kafka"),
        *("dragonfly", "elasticsearch", "etcd", "influxdb", "kafka", "keydb", "mariadb", "meilisearch", "memcached"),
        *("minio", "mongo", "mongodb", "mssql-server", "mysql", "nats", "neo4j", "opensearch", "percona", "pgvector"),
        *("postgis", "postgres", "postgresql", "qdrant", "questdb", "rabbitmq", "redis", "redis-stack", "redpanda"),
        *("rethinkdb", "scylla", "seaweedfs", "solr", "surrealdb", "timescaledb", "typesense", "valkey", "weaviate"),
        *("victoria-metrics", "zookeeper"),
    }
)
"""Names of images, without registry, folder and tag, of services that store data."""


def name_of(image: str) -> str:
    """Return the last part of the name of *image*, without its tag and digest."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]


def guess(image: str | None, *, is_built: bool, is_awaited: bool) -> str:
    """Return the type of a service; one whose end others await (*is_awaited*) is a JOB."""
    if is_awaited:
        return "JOB"
    if is_built:
        return "APPLICATION"
    return "DATABASE" if image is not None and name_of(image) in DATABASES else "CONTAINER"

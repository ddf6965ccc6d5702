FROM node:24.19.0-trixie-slim AS console
WORKDIR /src/console
COPY console/package.json console/package-lock.json console/.npmrc ./
RUN npm ci --ignore-scripts
COPY console ./
RUN npm run build


FROM python:3.12.13-slim-trixie AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore

# What it runs on, with the hashes of the lock; kept by the build cache until the lock changes.
COPY requirements.lock ./
RUN python -m venv --without-pip /opt/stageline \
    && pip --python /opt/stageline install --no-deps --require-hashes --requirement requirements.lock

# The builder of the wheel comes from the lock, too, so it is not fetched without a hash.
COPY requirements-dev.lock ./
RUN pip install --no-deps --require-hashes --requirement requirements-dev.lock

COPY pyproject.toml hatch_build.py README.md LICENSE NOTICE sbom.cdx.json ./
COPY cache ./cache
COPY tracing ./tracing
COPY domain ./domain
COPY store ./store
COPY projections ./projections
COPY application ./application
COPY runner ./runner
COPY endpoint ./endpoint
COPY gql ./gql
COPY server ./server
COPY --from=console /src/server/console/page ./server/console/page
COPY cli ./cli
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /tmp/wheel . \
    && pip --python /opt/stageline install --no-deps /tmp/wheel/*.whl


FROM python:3.12.13-slim-trixie
RUN useradd --system --uid 10001 --create-home stageline \
    && install --directory --owner stageline --group stageline --mode 0700 /data
COPY --from=build /opt/stageline /opt/stageline

# The first start writes the admin token to the user's configuration: it belongs to the data, and outlives the container.
ENV PATH=/opt/stageline/bin:$PATH PYTHONUNBUFFERED=1 XDG_CONFIG_HOME=/data/config

USER stageline
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/livez', timeout=2)"]
CMD ["stageline", "serve", "--host", "0.0.0.0", "--data", "/data"]

# One image, the roles as arguments: docker run waylight serve | worker | migrate | load | doctor ...
# docs/image.md says how to build, run and check it.
#
# Any Debian 12 or Ubuntu 24.04 and newer will do as a base, with a Python of its own or without.
ARG BASE_IMAGE=python:3.13-slim-trixie

# --- What both stages need: a Python ---------------------------------------------------------

FROM ${BASE_IMAGE} AS system
USER root
RUN set -eu; \
    if ! command -v python3 >/dev/null; then \
        command -v apt-get >/dev/null || { \
            echo "This base has neither python3 nor apt-get: use Debian 12, Ubuntu 24.04 or newer." >&2; \
            exit 1; \
        }; \
        export DEBIAN_FRONTEND=noninteractive; \
        apt-get -q update; \
        apt-get -q -y install --no-install-recommends python3; \
        rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/apt /var/log/dpkg.log; \
    fi; \
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
        echo "This base has $(python3 --version), and Waylight needs Python 3.11 or newer." >&2; \
        exit 1; \
    }

# --- The packages and the code, compiled -----------------------------------------------------

FROM system AS build

# Two secrets, for a network where pip needs them, which leave no trace in the image:
#   --secret id=pip.conf,src=FILE     settings of pip, such as an index of your own
#   --secret id=ca.pem,src=FILE       the authorities to trust, where the base does not know them
#
# Installing ca-certificates writes the bundle of the base anew, without the authority that somebody
# may have put there for pip: that is why it is set aside first.
RUN set -eu; \
    kept="${PIP_CERT:-${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}}"; \
    [ ! -s "$kept" ] || cp -L "$kept" /tmp/ca.pem; \
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then \
        export DEBIAN_FRONTEND=noninteractive; \
        apt-get -q update; \
        apt-get -q -y install --no-install-recommends python3-venv; \
    fi; \
    python3 -m venv /tmp/tools; \
    python3 -m venv --without-pip /opt/venv
COPY requirements.txt /tmp/
RUN --mount=type=secret,id=pip.conf --mount=type=secret,id=ca.pem set -eu; \
    if [ -s /run/secrets/pip.conf ]; then export PIP_CONFIG_FILE=/run/secrets/pip.conf; fi; \
    if [ -s /run/secrets/ca.pem ]; then export PIP_CERT=/run/secrets/ca.pem; \
    elif [ -n "${PIP_CERT:-}" ] && [ -s /tmp/ca.pem ]; then export PIP_CERT=/tmp/ca.pem; fi; \
    # Wheels only: nobody's setup.py runs here, and no compiler is needed.
    /tmp/tools/bin/python -m pip --python /opt/venv/bin/python install --no-input --no-cache-dir \
        --disable-pip-version-check --no-compile --only-binary :all: --require-hashes \
        --requirement /tmp/requirements.txt; \
    # Private keys for its tests, which every scanner would take for somebody's.
    rm -rf /opt/venv/lib/python3*/site-packages/gevent/tests
COPY LICENSE gunicorn.conf.py openapi.yaml /opt/waylight/
COPY api /opt/waylight/api
COPY schemas /opt/waylight/schemas
COPY waylight /opt/waylight/waylight
COPY migrations /opt/waylight/migrations
COPY data /opt/waylight/data
# Bytecode that is never compared with its source: the root is read-only, and its times are nobody's
# business. The code is for all to read whatever the umask of the checkout, and for none to change.
RUN set -eu; \
    echo /opt/waylight >"$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/waylight.pth"; \
    printf '#!/bin/sh\nexec /opt/venv/bin/python -m waylight.cli "$@"\n' >/opt/venv/bin/waylight; \
    /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt; \
    chown -R 0:0 /opt/venv /opt/waylight; \
    chmod -R u=rwX,go=rX /opt/venv /opt/waylight; \
    chmod 755 /opt/venv/bin/waylight

# --- The image -------------------------------------------------------------------------------

FROM system AS image

# pg_dump and pg_restore are for `waylight backup` and `waylight restore`. Programs that make whoever
# runs them root are for nobody here.
RUN set -eu; \
    missing=""; \
    command -v pg_dump >/dev/null && command -v pg_restore >/dev/null || missing="postgresql-client"; \
    [ -s /etc/ssl/certs/ca-certificates.crt ] || missing="$missing ca-certificates"; \
    if [ -n "$missing" ]; then \
        export DEBIAN_FRONTEND=noninteractive; \
        apt-get -q update; \
        apt-get -q -y install --no-install-recommends $missing; \
        rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/apt /var/log/dpkg.log; \
    fi; \
    find / -xdev -type f -perm /6000 -exec chmod a-s {} +; \
    echo 'waylight:x:10001:10001::/nonexistent:/usr/sbin/nologin' >>/etc/passwd; \
    echo 'waylight:x:10001:' >>/etc/group
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/waylight /opt/waylight

# Not the code of whatever folder a command is started in.
ENV PATH=/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    LANG=C.UTF-8 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONSAFEPATH=1 \
    WAYLIGHT_HOST=0.0.0.0 \
    WAYLIGHT_PORT=8000
WORKDIR /opt/waylight
# A number, so that an orchestrator can see that it is not root.
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
ENTRYPOINT ["waylight"]
CMD ["--help"]
# Asks what fits the role of process 1: the API by HTTP, the worker by its heartbeat.
HEALTHCHECK --interval=15s --timeout=10s --start-period=30s --retries=3 CMD ["waylight", "healthy"]

ARG VERSION=0
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="Waylight" \
      org.opencontainers.image.description="Takes reports from passengers in danger and alerts the transport safety team that must know" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"

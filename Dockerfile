# The dependencies alone, in a layer that changes only with setup.cfg.
# There is no package beside setup.cfg yet, so this installs what maicivy needs and none of its code.
FROM python:3.12-slim AS dependencies
WORKDIR /build
COPY setup.cfg pyproject.toml README.md LICENSE ./
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --disable-pip-version-check .

FROM python:3.12-slim
RUN useradd --system --no-create-home --shell /usr/sbin/nologin maicivy
COPY --from=dependencies /venv /venv
# One copy of the code, run where it lies: the program finds sql/ beside the package.
WORKDIR /app
COPY run.py LICENSE ./
COPY sql sql
COPY maicivy maicivy
# The user below may not write here, so the bytecode is made now.
RUN /venv/bin/python -m compileall -q run.py maicivy

ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    MAICIVY_HOST=0.0.0.0 \
    MAICIVY_PORT=8080
USER maicivy
EXPOSE 8080
STOPSIGNAL SIGTERM
# /health says that the process answers; a database that is away is no reason to restart it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['MAICIVY_PORT']), timeout=2); c.request('GET', '/health'); sys.exit(c.getresponse().status != 200)"]
# No server comes with the image: DATABASE_URL and REDIS_URL have to be set.
CMD ["python", "run.py"]

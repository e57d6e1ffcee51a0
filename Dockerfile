# syntax=docker/dockerfile:1
# Perennial as an image. A CPU build of PyTorch (about 2 GB less): docker build --build-arg TORCH_INDEX=URL .
# where URL is the index for CPU builds that PyTorch's "Get started" page names.
ARG PYTHON_VERSION=3.13

FROM python:${PYTHON_VERSION}-slim AS build
ARG TORCH_INDEX=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/perennial
ENV PATH=/opt/perennial/bin:$PATH
WORKDIR /src
# The libraries are a layer of their own: they are installed again only when their versions change, not with every edit.
COPY pyproject.toml constraints.txt ./
RUN if [ -n "$TORCH_INDEX" ]; then \
        pip install --index-url "$TORCH_INDEX" "$(grep '^torch==' constraints.txt)"; \
    fi
RUN python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
print(*(one for one in project['dependencies'] + project['optional-dependencies']['postgres'] if one != 'perennial-artifact'), sep='\n')" \
    > requirements.txt \
    && pip install --constraint constraints.txt --requirement requirements.txt
COPY . .
RUN pip install --no-deps ./artifact .

FROM python:${PYTHON_VERSION}-slim
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/perennial --shell /usr/sbin/nologin perennial \
    && install --directory --owner=perennial --group=perennial --mode=0700 /var/lib/perennial /backups \
    && install --directory --owner=perennial --group=perennial /var/cache/perennial \
    && install --directory /etc/perennial
COPY --from=build /opt/perennial /opt/perennial
# The settings file perennial.toml is looked for in the working folder.
WORKDIR /etc/perennial
ENV PATH=/opt/perennial/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HF_HOME=/var/cache/perennial \
    MPLCONFIGDIR=/tmp/matplotlib \
    PERENNIAL_DATA_DIR=/var/lib/perennial \
    PERENNIAL_LOG__FORMAT=json \
    PERENNIAL_TELEMETRY__PORT=9464
USER perennial
VOLUME ["/var/lib/perennial", "/backups"]
EXPOSE 8310 9464
# The daemon answers for its metrics while it lives; a step that hangs ends it by itself. Serving has a check of its own in Compose.
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9464/metrics', timeout=5)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["perennial"]
CMD ["run", "--no-serve"]

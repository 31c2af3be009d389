# Two stages: what is needed to build stays behind.
FROM debian:12 AS build
WORKDIR /src
COPY dev ./
# The packages are listed once, in ./dev.
RUN apt-get update -q && apt-get install -qq -y --no-install-recommends $(bash ./dev packages build) \
  && rm -rf /var/lib/apt/lists/*
COPY CMakeLists.txt CMakePresets.json ./
COPY cmake cmake
COPY protocol protocol
COPY conf conf
COPY router router
COPY drain drain
COPY proxy proxy
COPY control control
COPY tests tests
COPY bench bench
RUN ./dev build release turnout && strip --strip-unneeded build/release/turnout

FROM debian:12-slim
RUN apt-get update -q && apt-get install -qq -y --no-install-recommends ca-certificates libboost-json1.81.0 libc-ares2 libfmt9 \
  libmariadb3 libpg-query1504.0 libpq5 libprometheus-cpp-core1.0 libspdlog1.10 libssl3 libyaml-cpp0.7 postgresql-client-15 \
  && rm -rf /var/lib/apt/lists/* \
  && useradd --system --uid 6432 --home-dir /var/lib/turnout --shell /usr/sbin/nologin turnout \
  && install -d -o turnout -g turnout /etc/turnout /var/lib/turnout
COPY --from=build /src/build/release/turnout /usr/local/bin/turnout
USER turnout
# 6432: clients; 6480: REST, metrics and dashboard (loopback unless the configuration says otherwise).
EXPOSE 6432 6480
VOLUME ["/var/lib/turnout"]
# SIGTERM ends gracefully: no new clients, running transactions go on to their end.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["turnout", "status", "--control", "http://127.0.0.1:6480"]
ENTRYPOINT ["turnout"]
CMD ["run", "-c", "/etc/turnout/turnout.yaml"]

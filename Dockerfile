# The router in a container, without sound:
#   docker build -t downbeat .
#   docker run -p 55555:55555 -p 55556:55556 downbeat
# More flags go behind the name: docker run ... downbeat router --metrics --rate 1000
FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN cargo build --release --no-default-features --locked

FROM debian:bookworm-slim
COPY --from=build /source/target/release/downbeat /usr/local/bin/
USER nobody
# OSC 1.0, OSC 1.1.
EXPOSE 55555 55556
ENTRYPOINT ["downbeat"]
CMD ["router", "--metrics"]
# Of a container that was started with --metrics.
HEALTHCHECK --interval=30s --timeout=3s --start-period=2s CMD ["bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/55557 && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q ^ok <&3"]

# Countersign in a small image: the binary, the C library it is linked to, root certificates, and
# nothing else; no shell, no package manager, no root.
#
#   docker build -t countersign .
#   docker run --rm -p 8080:8080 -v "$PWD/conf:/etc/countersign:ro" --read-only --cap-drop ALL \
#     --stop-timeout 45 countersign
#
# In a container the listener's address must be 0.0.0.0 (or [::]) to be reached through -p; the admin
# listener stays on 127.0.0.1, where the health check finds it. Stopping takes up to drain.delay +
# drain.timeout (35 s unless changed), so give `docker stop` more than its 10 s.
#
# Everything comes from this one image, pinned by its full version: the final stage starts from
# nothing and takes its C library and certificates from here.
FROM rust:1.95.0-bookworm AS build
WORKDIR /build

# aws-lc (crypto), SQLite and jemalloc are compiled from sources inside their crates, by the C compiler
# and the make that the image has. Nothing is installed. The dependencies are built first, against an empty program, so that
# a change of src/ does not compile them again. deploy/build uses the recorded profile in deploy/profile,
# which is of this version of Rust on x86-64; elsewhere it builds without it.
COPY Cargo.toml Cargo.lock README.md ./
COPY .cargo .cargo
COPY deploy/build deploy/build
COPY deploy/profile deploy/profile
RUN mkdir src \
 && echo '//! Empty.' > src/lib.rs \
 && echo 'fn main() {}' > src/main.rs \
 && deploy/build \
 && rm -r src

COPY config ./config
COPY src ./src
RUN touch src/lib.rs src/main.rs \
 && deploy/build

# The root file system of the final image. `ldd` names what the binary needs (libc, libm, libgcc_s
# and the loader); name service is inside libc since glibc 2.34. Then the image is tried.
RUN set -eu; \
    root=/image; bin=target/published/countersign; \
    mkdir -p "$root/usr/local/bin" "$root/etc/ssl/certs" "$root/etc/countersign" "$root/tmp"; \
    chmod 1777 "$root/tmp"; \
    cp "$bin" "$root/usr/local/bin/countersign"; \
    ldd "$bin" | awk '$2 == "=>" { print $3 } $1 ~ "^/" { print $1 }' > needed; \
    test -s needed; \
    while read -r library; do cp -L --parents "$library" "$root"; done < needed; \
    cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"; \
    echo 'countersign:x:65532:65532::/:/sbin/nologin' > "$root/etc/passwd"; \
    echo 'countersign:x:65532:' > "$root/etc/group"; \
    echo 'hosts: files dns' > "$root/etc/nsswitch.conf"; \
    chroot "$root" /usr/local/bin/countersign --version

FROM scratch
COPY --from=build /image /
USER 65532:65532
WORKDIR /etc/countersign
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
EXPOSE 8080 8443
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["/usr/local/bin/countersign", "health", "-c", "/etc/countersign/countersign.yaml"]
ENTRYPOINT ["/usr/local/bin/countersign"]
CMD ["serve", "-c", "/etc/countersign/countersign.yaml"]

# partitiond in an image with nothing else but certificates: the program is static
# and brings time zones. It runs as a user that has no rights.
#
#	docker build --build-arg VERSION=$(git describe --tags --always) -t partitiond .
#	docker run --rm -v ./config.toml:/etc/partitiond/config.toml:ro \
#	    -v archive:/var/lib/partitiond partitiond check
#
# The demonstration and init --print need the programs of a PostgreSQL server, which
# are not here.

FROM golang:1.26-bookworm AS build
WORKDIR /src
# Modules change less often than sources.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=devel
ARG TARGETARCH
RUN GOARCH=$TARGETARCH make build VERSION="$VERSION"
# A directory whose owner is the user below, for the volume to take its mode from.
RUN mkdir -p /out/etc/partitiond /out/etc/ssl/certs /out/usr/bin /out/var/lib/partitiond/archive /out/tmp && \
    cp bin/partitiond /out/usr/bin/ && \
    cp /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ && \
    echo 'partitiond:x:65532:65532:partitiond:/var/lib/partitiond:/sbin/nologin' >/out/etc/passwd && \
    echo 'partitiond:x:65532:' >/out/etc/group && \
    chown -R 65532:65532 /out/var/lib/partitiond && \
    chmod -R go= /out/var/lib/partitiond && \
    chmod 1777 /out/tmp

FROM scratch
COPY --from=build /out/ /
# A number, so that Kubernetes can tell that it is not root (runAsNonRoot).
USER 65532:65532
ENV HOME=/var/lib/partitiond GOMEMLIMIT=384MiB
VOLUME /var/lib/partitiond
# The daemon ends after the current transaction.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/partitiond"]

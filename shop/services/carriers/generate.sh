#!/bin/sh
# Makes internal/carriersv1 from the contract. Needs protoc (Debian: protobuf-compiler), or PROTOC="python3 -m grpc_tools.protoc"
# (pip: grpcio-tools); the plugins are the ones that go.mod names. Whether the result is current needs no tool to be checked:
# internal/carriersv1/contract_test.go compares it with the contract.
set -eu
cd "$(dirname "$0")"
plugins=$(mktemp -d)
trap 'rm -rf "$plugins"' EXIT
go build -o "$plugins" google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc
PATH="$plugins:$PATH" ${PROTOC:-protoc} -I proto --go_out=. --go_opt=module=shop.example/carriers \
	--go-grpc_out=. --go-grpc_opt=module=shop.example/carriers carriers/v1/carriers.proto

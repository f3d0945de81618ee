package carriersv1

import (
	"testing"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
)

// Whoever changes the contract and forgets `go generate ./...` learns it here, without protoc.
func TestTheGeneratedCodeIsOfTheContract(t *testing.T) {
	imports := &protocompile.SourceResolver{ImportPaths: []string{"../../proto"}}
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(imports)}
	files, err := compiler.Compile(t.Context(), "carriers/v1/carriers.proto")
	if err != nil {
		t.Fatal(err)
	}
	want := protodesc.ToFileDescriptorProto(files[0])
	got := protodesc.ToFileDescriptorProto(File_carriers_v1_carriers_proto)
	if !proto.Equal(got, want) {
		t.Errorf("run go generate ./...: the code is of %v, the contract is %v", got, want)
	}
}

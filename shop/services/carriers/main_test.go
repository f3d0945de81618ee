package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	pb "shop.example/carriers/internal/carriersv1"
)

// The test program is the service, too: started again with this variable it runs main.
const asService = "CARRIERS_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asService) != "" {
		main()
		return
	}
	if os.Getenv(asCaller) != "" {
		if err := caller(); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

type process struct {
	*testing.T
	*exec.Cmd
	pb.CarriersClient
	conn *grpc.ClientConn
}

func start(t *testing.T, folder string) *process {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), asService+"=1", "PORT=0", "ONDOL_DATA="+folder, "CARRIERS_LATENCY=0s", "CARRIERS_DAY=24h")
	command.Stderr = os.Stderr
	logs, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill() })
	var serving struct{ Address string }
	if err := json.NewDecoder(logs).Decode(&serving); err != nil {
		t.Fatalf("its first line: %v", err)
	}
	conn, err := grpc.NewClient(serving.Address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	healthy, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{}, grpc.WaitForReady(true))
	if err != nil || healthy.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Fatalf("%v, %v", healthy, err)
	}
	return &process{t, command, pb.NewCarriersClient(conn), conn}
}

func TestWhatWasBookedOutlivesAKill(t *testing.T) {
	folder := t.TempDir()
	first := start(t, folder)
	var promises []string
	for i := range 20 {
		booked, err := first.Book(t.Context(), &pb.BookRequest{Parcel: fmt.Sprint("p", i), Pieces: 1, Carrier: "Slowboat"})
		if err != nil {
			t.Fatal(err)
		}
		promises = append(promises, booked.GetPromise().String())
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()

	second := start(t, folder)
	for i, promise := range promises {
		booked, err := second.Book(t.Context(), &pb.BookRequest{Parcel: fmt.Sprint("p", i), Pieces: 1, Carrier: "Slowboat"})
		if err != nil || booked.GetPromise().String() != promise {
			t.Errorf("p%d: %v, %v; want %s", i, booked, err, promise)
		}
		stream, err := second.Track(t.Context(), &pb.TrackRequest{Parcel: fmt.Sprint("p", i)})
		if err != nil {
			t.Fatal(err)
		}
		if news, err := stream.Recv(); err != nil || news.GetEvent().GetStatus() != pb.Status_STATUS_BOOKED {
			t.Errorf("p%d: %v, %v", i, news, err)
		}
	}
}

func TestSIGTERMEndsItWellThoughAStreamRuns(t *testing.T) {
	service := start(t, t.TempDir())
	stream, err := service.Follow(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// An answer, so that the stream is known to run.
	unknown := &pb.FollowRequest{Change: &pb.FollowRequest_Add{Add: &pb.TrackRequest{Parcel: "nobody"}}}
	if err := stream.Send(unknown); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if err := service.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err == nil || err == io.EOF {
		t.Errorf("the stream ended with %v", err)
	}
	if err := service.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

func TestBadSettingsAreNamed(t *testing.T) {
	good := map[string]string{"PORT": "1", "ONDOL_DATA": "/tmp"}
	for _, test := range []struct{ name, value string }{
		{"PORT", ""}, {"PORT", "70000"}, {"ONDOL_DATA", ""}, {"CARRIERS_LATENCY", "soon"}, {"CARRIERS_LATENCY", "-1s"},
		{"CARRIERS_DAY", "0s"}, {"LOG", "loud"},
	} {
		getenv := func(name string) string {
			if name == test.name {
				return test.value
			}
			return good[name]
		}
		if err := run(t.Context(), getenv); err == nil || !strings.Contains(err.Error(), test.name) {
			t.Errorf("%s=%q: %v", test.name, test.value, err)
		}
	}
}

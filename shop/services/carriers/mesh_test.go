package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	pb "shop.example/carriers/internal/carriersv1"
)

// Started again with this variable the test program is a service that calls the carriers, and tells its test where they are.
const asCaller = "CARRIERS_TEST_CALLER"

func caller() error {
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv("PORT"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(os.Getenv(asCaller), []byte(os.Getenv("CARRIERS_URL")), 0o600); err != nil {
		return err
	}
	for { // Being connected to is all that it is asked for.
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		conn.Close()
	}
}

// mesh is a small system: the carriers as their service.yaml declares them, and a caller with an edge to them.
type mesh struct {
	*testing.T
	pb.CarriersClient
	ondol, folder string
}

const patience = time.Minute

func (m *mesh) command(args ...string) *exec.Cmd {
	return exec.Command(m.ondol, append([]string{"-C", m.folder}, args...)...)
}

// up starts the system with the program that ONDOL names.
func up(t *testing.T) *mesh {
	ondol := os.Getenv("ONDOL")
	if ondol == "" {
		t.Skip("SKIPPED: the carriers through the mesh; set ONDOL to the program ondol")
	}
	m := &mesh{T: t, ondol: ondol, folder: t.TempDir()}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	said := filepath.Join(m.folder, "carriers-url")
	m.write("ondol.yaml", fmt.Sprintf(`system: meshed
services: [services/*]
gateway: { listeners: { web: { bind: "%s" } } }
console: { bind: "%s" }
`, free(t), free(t)))
	m.write("services/caller/service.yaml", fmt.Sprintf(`service: caller
run: "'%s'"
env: { %s: "%s" }
depends_on: { carriers: optional }
`, os.Args[0], asCaller, said))
	if err := os.Symlink(here, filepath.Join(m.folder, "services/carriers")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.command("down").Run() })
	if out, err := m.command("up", "--detach").CombinedOutput(); err != nil {
		t.Fatalf("ondol up: %v\n%s", err, out)
	}
	url, err := os.ReadFile(said)
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimSuffix(strings.TrimPrefix(string(url), "http://"), "/")
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	m.CarriersClient = pb.NewCarriersClient(conn)
	return m
}

func (m *mesh) write(name, text string) {
	m.Helper()
	path := filepath.Join(m.folder, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		m.Fatal(err)
	}
}

// free is an address for a listener that must be declared before it listens.
func free(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// signal sends one to the carriers.
func (m *mesh) signal(signal syscall.Signal) {
	m.Helper()
	if err := syscall.Kill(m.pid(), signal); err != nil {
		m.Fatal(err)
	}
}

func (m *mesh) pid() int {
	m.Helper()
	var status struct {
		Services []struct {
			Service   string
			Instances []struct{ Pid int }
		}
	}
	out, _ := m.command("status", "--json").Output() // Ends with 1 while something is not ready.
	if err := json.Unmarshal(out, &status); err != nil {
		m.Fatalf("ondol status: %v: %s", err, out)
	}
	for _, service := range status.Services {
		if service.Service == "carriers" && len(service.Instances) == 1 {
			return service.Instances[0].Pid
		}
	}
	m.Fatalf("the carriers do not run: %+v", status)
	return 0
}

func (m *mesh) quote(within time.Duration) error {
	ctx, cancel := context.WithTimeout(m.Context(), within)
	defer cancel()
	_, err := m.Quote(ctx, &pb.QuoteRequest{Parcel: "p1", Pieces: 1})
	return err
}

// untilQuoted waits for the carriers to answer again.
func (m *mesh) untilQuoted() {
	m.Helper()
	end := time.Now().Add(patience)
	for err := m.quote(5 * time.Second); err != nil; err = m.quote(5 * time.Second) {
		if time.Now().After(end) {
			m.Fatalf("no quote within %v: %v", patience, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// followed opens a stream, asks for a parcel nobody knows and for p1, and reads p1's first event after the given one.
func (m *mesh) followed(ctx context.Context) pb.Carriers_FollowClient {
	m.Helper()
	stream, err := m.Follow(ctx)
	if err != nil {
		m.Fatal(err)
	}
	for _, id := range []string{"nobody", "p1"} { // Each is answered before the next is sent: both directions at once.
		add := &pb.FollowRequest{Change: &pb.FollowRequest_Add{Add: &pb.TrackRequest{Parcel: id}}}
		if err := stream.Send(add); err != nil {
			m.Fatal(err)
		}
		news, err := stream.Recv()
		if err != nil || news.GetUnknown() != "nobody" && news.GetEvent().GetStatus() != pb.Status_STATUS_BOOKED {
			m.Fatalf("%s: %v, %v", id, news, err)
		}
	}
	return stream
}

func TestThroughTheMesh(t *testing.T) {
	m := up(t)
	m.untilQuoted()
	// The carriers know the deadline, too, and end the call at the same moment; whoever is first is heard.
	err := m.quote(100 * time.Millisecond)
	if code := status.Code(err); code != codes.DeadlineExceeded && code != codes.Unavailable {
		t.Errorf("a deadline shorter than their latency: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	offers, err := m.Quote(ctx, &pb.QuoteRequest{Parcel: "p1", Pieces: 1})
	if err != nil {
		t.Fatal(err)
	}
	book := &pb.BookRequest{Parcel: "p1", Pieces: 1, Carrier: offers.GetOffers()[0].GetCarrier()}
	booked, err := m.Book(ctx, book)
	if err != nil {
		t.Fatal(err)
	}
	tracking, err := m.Track(ctx, &pb.TrackRequest{Parcel: "p1"})
	if err != nil {
		t.Fatal(err)
	}
	if news, err := tracking.Recv(); err != nil || news.GetEvent().GetSequence() != 1 {
		t.Fatalf("tracked: %v, %v", news, err)
	}

	stream, before := m.followed(ctx), m.pid()
	m.signal(syscall.SIGKILL)
	for err == nil { // What had happened by then may still arrive.
		_, err = stream.Recv()
	}
	if ctx.Err() != nil {
		t.Errorf("the stream outlived the carriers: %v", err)
	}
	m.untilQuoted()
	if after := m.pid(); after == before {
		t.Errorf("process %s was killed and runs", strconv.Itoa(after))
	}
	if again, err := m.Book(ctx, book); err != nil || again.String() != booked.String() {
		t.Errorf("booked %v, then after the kill %v, %v", booked, again, err)
	}
	m.followed(ctx)

	m.signal(syscall.SIGSTOP)
	began := time.Now()
	if err := m.quote(time.Second); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("carriers that hang: %v after %v", err, time.Since(began))
	}
	m.signal(syscall.SIGCONT)
	m.untilQuoted()
}

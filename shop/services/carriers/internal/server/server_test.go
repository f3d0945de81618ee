package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	pb "shop.example/carriers/internal/carriersv1"
	"shop.example/carriers/internal/feed"
	"shop.example/carriers/internal/parcel"
	"shop.example/carriers/internal/store"
)

const latency = 250 * time.Millisecond

type system struct {
	*testing.T
	pb.CarriersClient
	server *Server
	store  *store.Store
	logged *bytes.Buffer
}

// run runs a test against a server of its own, on a clock that stands still while anybody works.
func run(t *testing.T, test func(s *system)) {
	bookings, err := store.Open(filepath.Join(t.TempDir(), "carriers.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer bookings.Close()
	synctest.Test(t, func(t *testing.T) {
		logged := &bytes.Buffer{}
		server := New(bookings, Settings{Latency: latency, Day: time.Hour}, NewLogger(logged, slog.LevelInfo))
		listener := bufconn.Listen(64 << 10)
		go server.Serve(listener)
		dial := func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }
		conn, err := grpc.NewClient("passthrough:carriers",
			grpc.WithContextDialer(dial), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		test(&system{t, pb.NewCarriersClient(conn), server, bookings, logged})
		conn.Close()
		server.Server.Stop()
		synctest.Wait()
	})
}

// booked puts a parcel in the store without a call.
func (s *system) booked(id string) []parcel.Event {
	s.Helper()
	booking := parcel.Booking{Parcel: id, Pieces: 1, Carrier: "Slowboat", At: time.Now().UTC(), Day: time.Hour}
	booking, err := s.store.Book(booking)
	if err != nil {
		s.Fatal(err)
	}
	return booking.Course()
}

func (s *system) want(err error, code codes.Code) {
	s.Helper()
	if status.Code(err) != code {
		s.Errorf("%v, want %v", err, code)
	}
}

func add(id string, after int32) *pb.FollowRequest {
	return &pb.FollowRequest{Change: &pb.FollowRequest_Add{Add: &pb.TrackRequest{Parcel: id, After: after}}}
}

func TestAParcelIsQuotedBookedOnceAndTrackedToItsDelivery(t *testing.T) {
	run(t, func(s *system) {
		began := time.Now()
		quoted, err := s.Quote(s.Context(), &pb.QuoteRequest{Parcel: "p1", Pieces: 2})
		if err != nil {
			s.Fatal(err)
		}
		if took := time.Since(began); took != latency {
			s.Errorf("a quote took %v, want %v", took, latency)
		}
		offer := quoted.GetOffers()[0]
		book := &pb.BookRequest{Parcel: "p1", Pieces: 2, Carrier: offer.GetCarrier()}
		for range 2 {
			booked, err := s.Book(s.Context(), book)
			if err != nil {
				s.Fatal(err)
			}
			if booked.GetPromise().String() != offer.String() {
				s.Errorf("booked %v, offered %v", booked.GetPromise(), offer)
			}
			time.Sleep(48 * time.Hour) // A later repeat is answered with the promise of the first.
		}
		book.Pieces = 3
		_, err = s.Book(s.Context(), book)
		s.want(err, codes.AlreadyExists)

		course := s.booked("p2")
		stream, err := s.Track(s.Context(), &pb.TrackRequest{Parcel: "p2", After: 1})
		if err != nil {
			s.Fatal(err)
		}
		for next := 1; next < len(course); {
			news, err := stream.Recv()
			if err != nil {
				s.Fatal(err)
			}
			event := news.GetEvent()
			if event == nil {
				continue // Alive.
			}
			if want := eventOf(course[next]); event.String() != want.String() || time.Now().Before(course[next].At) {
				s.Errorf("%v at %v, want %v", event, time.Now(), want)
			}
			next++
		}
		if _, err := stream.Recv(); err != io.EOF {
			s.Errorf("after the delivery: %v", err)
		}
	})
}

func TestParcelsAreAddedAndTakenOffWhileTheStreamRuns(t *testing.T) {
	run(t, func(s *system) {
		stream, err := s.Follow(s.Context())
		if err != nil {
			s.Fatal(err)
		}
		send := func(change *pb.FollowRequest) {
			s.Helper()
			if err := stream.Send(change); err != nil {
				s.Fatal(err)
			}
		}
		recv := func() *pb.FollowResponse {
			s.Helper()
			news, err := stream.Recv()
			if err != nil {
				s.Fatal(err)
			}
			return news
		}
		// Nothing is followed: the stream says that it lives.
		began := time.Now()
		if recv().GetAlive() == nil || time.Since(began) != alive {
			s.Errorf("not alive after %v", time.Since(began))
		}
		send(add("nobody", 0))
		if unknown := recv().GetUnknown(); unknown != "nobody" {
			s.Errorf("unknown %q", unknown)
		}
		first, second := s.booked("p1"), s.booked("p2")
		send(add("p1", 0))
		if event := recv().GetEvent(); event.GetParcel() != "p1" || event.GetSequence() != 1 {
			s.Errorf("%v, want p1's first", event)
		}
		send(&pb.FollowRequest{Change: &pb.FollowRequest_Remove{Remove: "p1"}})
		send(add("p2", 0))
		if err := stream.CloseSend(); err != nil {
			s.Fatal(err)
		}
		var seen []string
		for {
			news, err := stream.Recv()
			if err == io.EOF {
				break
			}
			if err != nil {
				s.Fatal(err)
			}
			if event := news.GetEvent(); event != nil {
				seen = append(seen, fmt.Sprint(event.GetParcel(), event.GetSequence()))
			}
		}
		var want []string
		for _, event := range second {
			want = append(want, fmt.Sprint("p2", event.Sequence))
		}
		if fmt.Sprint(seen) != fmt.Sprint(want) {
			s.Errorf("%v, want %v and nothing of %v", seen, want, first)
		}
	})
}

// A broken codec sends what is no message.
type broken struct{}

func (broken) Marshal(any) ([]byte, error)        { return []byte{0xff}, nil }
func (broken) Unmarshal(data []byte, v any) error { return proto.Unmarshal(data, v.(proto.Message)) }
func (broken) Name() string                       { return "proto" }

func TestARequestThatCannotBeReadEndsTheStreamWithAnError(t *testing.T) {
	run(t, func(s *system) {
		stream, err := s.Follow(s.Context(), grpc.ForceCodec(broken{}))
		if err != nil {
			s.Fatal(err)
		}
		if err := stream.Send(add("p1", 0)); err != nil {
			s.Fatal(err)
		}
		_, err = stream.Recv()
		s.want(err, codes.Internal)
	})
}

func TestADeadlineEndsACallAndAStream(t *testing.T) {
	run(t, func(s *system) {
		short, cancel := context.WithTimeout(s.Context(), latency/2)
		defer cancel()
		began := time.Now()
		_, err := s.Book(short, &pb.BookRequest{Parcel: "p1", Pieces: 1, Carrier: "Slowboat"})
		s.want(err, codes.DeadlineExceeded)
		if took := time.Since(began); took != latency/2 {
			s.Errorf("it took %v, want %v", took, latency/2)
		}
		time.Sleep(latency)
		if _, err := s.store.Find("p1"); err != store.ErrUnknown {
			s.Errorf("what nobody waits for was booked: %v", err)
		}

		s.booked("p2")
		short, cancel = context.WithTimeout(s.Context(), time.Minute)
		defer cancel()
		stream, err := s.Track(short, &pb.TrackRequest{Parcel: "p2"})
		for err == nil {
			_, err = stream.Recv()
		}
		s.want(err, codes.DeadlineExceeded)
		synctest.Wait()
		if running := len(s.server.streams); running != 0 {
			s.Errorf("%d streams go on in the server", running)
		}
	})
}

func TestStoppingEndsStreamsAndLetsCallsEnd(t *testing.T) {
	run(t, func(s *system) {
		s.booked("p1")
		stream, err := s.Track(s.Context(), &pb.TrackRequest{Parcel: "p1", After: 1})
		if err != nil {
			s.Fatal(err)
		}
		quoted := make(chan error)
		go func() {
			_, err := s.Quote(s.Context(), &pb.QuoteRequest{Parcel: "p1", Pieces: 1})
			quoted <- err
		}()
		synctest.Wait()
		began := time.Now()
		go s.server.Stop()
		_, err = stream.Recv()
		s.want(err, codes.Unavailable)
		if err := <-quoted; err != nil {
			s.Errorf("a call under way was cut: %v", err)
		}
		if took := time.Since(began); took > latency {
			s.Errorf("stopping took %v", took)
		}
	})
}

func TestBadInputIsRefusedWithItsRule(t *testing.T) {
	run(t, func(s *system) {
		ctx := s.Context()
		for _, request := range []*pb.BookRequest{
			{Parcel: "", Pieces: 1, Carrier: "Slowboat"},
			{Parcel: "a/b", Pieces: 1, Carrier: "Slowboat"},
			{Parcel: "p", Pieces: 0, Carrier: "Slowboat"},
			{Parcel: "p", Pieces: 1, Carrier: "Nobody"},
		} {
			_, err := s.Book(ctx, request)
			s.want(err, codes.InvalidArgument)
		}
		_, err := s.Quote(ctx, &pb.QuoteRequest{Parcel: "p", Pieces: -1})
		s.want(err, codes.InvalidArgument)
		_, err = s.Quote(ctx, &pb.QuoteRequest{Parcel: string(make([]byte, maxMessage)), Pieces: 1})
		s.want(err, codes.ResourceExhausted)
		unknown, err := s.Track(ctx, &pb.TrackRequest{Parcel: "p"})
		if err == nil {
			_, err = unknown.Recv()
		}
		s.want(err, codes.NotFound)
		empty, err := s.Follow(ctx)
		if err == nil && empty.Send(&pb.FollowRequest{}) == nil {
			_, err = empty.Recv()
		}
		s.want(err, codes.InvalidArgument)
	})
}

func TestOneTooManyIsRefusedAndNothingElseSuffers(t *testing.T) {
	run(t, func(s *system) {
		s.booked("p1")
		ctx, cancel := context.WithCancel(s.Context())
		for range MaxStreams {
			if _, err := s.Track(ctx, &pb.TrackRequest{Parcel: "p1"}); err != nil {
				s.Fatal(err)
			}
		}
		synctest.Wait()
		over, err := s.Track(ctx, &pb.TrackRequest{Parcel: "p1"})
		if err == nil {
			_, err = over.Recv()
		}
		s.want(err, codes.ResourceExhausted)
		_, err = s.Quote(ctx, &pb.QuoteRequest{Parcel: "p1", Pieces: 1})
		s.want(err, codes.OK)
		cancel()
		synctest.Wait()
		if running := len(s.server.streams); running != 0 {
			s.Errorf("%d streams go on", running)
		}
	})
}

func TestAStreamThatFollowsTooManyParcelsEnds(t *testing.T) {
	run(t, func(s *system) {
		var f feed.Feed
		for i := range feed.Max {
			booking := parcel.Booking{Parcel: fmt.Sprint("p", i), Carrier: "Slowboat", At: time.Now(), Day: time.Hour}
			if err := f.Add(booking, 0); err != nil {
				s.Fatal(err)
			}
		}
		s.booked("one-more")
		err := s.server.change(&f, add("one-more", 0), nil)
		s.want(err, codes.ResourceExhausted)
	})
}

func TestAFaultIsLoggedWithItsTraceAndNotTold(t *testing.T) {
	run(t, func(s *system) {
		s.store.Close()
		trace := "4bf92f3577b34da6a3ce929d0e0e4736"
		ctx := metadata.AppendToOutgoingContext(s.Context(),
			"traceparent", "00-"+trace+"-00f067aa0ba902b7-01", "baggage", "a=b, correlation-id=c-1")
		_, err := s.Book(ctx, &pb.BookRequest{Parcel: "p", Pieces: 1, Carrier: "Slowboat"})
		s.want(err, codes.Internal)
		if bytes.Contains([]byte(err.Error()), []byte("database")) {
			s.Errorf("the caller is told %v", err)
		}
		var line struct {
			Level, Error string
			Trace        string `json:"trace_id"`
			Correlation  string `json:"correlation_id"`
			Method       string
		}
		if err := json.Unmarshal(s.logged.Bytes(), &line); err != nil {
			s.Fatalf("%v: %s", err, s.logged)
		}
		if line.Level != "ERROR" || line.Trace != trace || line.Correlation != "c-1" || line.Error == "" {
			s.Errorf("%+v", line)
		}
	})
}

func TestStatusesHaveTheContractsNumbers(t *testing.T) {
	for own, want := range map[parcel.Status]pb.Status{
		parcel.Booked:         pb.Status_STATUS_BOOKED,
		parcel.PickedUp:       pb.Status_STATUS_PICKED_UP,
		parcel.InTransit:      pb.Status_STATUS_IN_TRANSIT,
		parcel.OutForDelivery: pb.Status_STATUS_OUT_FOR_DELIVERY,
		parcel.Delivered:      pb.Status_STATUS_DELIVERED,
	} {
		if got := eventOf(parcel.Event{Status: own}).GetStatus(); got != want {
			t.Errorf("%d is told as %v, want %v", own, got, want)
		}
	}
}

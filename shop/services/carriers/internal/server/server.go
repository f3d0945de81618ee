// Package server answers the contract (proto/carriers/v1) over a store of bookings.
//
// It is slow on purpose: Quote and Book take as long as real carriers' systems do, so that callers must live with it.
//
// What must hold
//   - A call ends with its deadline, with its caller, or with this server, whichever is first; nothing waits without all three.
//   - Calls and streams at a time are bounded ([MaxCalls], [MaxStreams]); one more is RESOURCE_EXHAUSTED at once.
//   - A booking is on the disk before it is answered.
//
// How a stream runs: stream.go. Tests: over real gRPC on a pipe, with the clock of testing/synctest.
package server

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	pb "shop.example/carriers/internal/carriersv1"
	"shop.example/carriers/internal/parcel"
	"shop.example/carriers/internal/store"
)

// Bounds of what runs at a time, over all connections.
const (
	MaxCalls   = 1024
	MaxStreams = 256
)

// maxMessage is far more than any request of the contract needs, in bytes.
const maxMessage = 16 << 10

// stopWithin is how long calls may go on after Stop; less than the 10 s after which the supervisor kills.
const stopWithin = 8 * time.Second

// Settings of the simulation.
type Settings struct {
	// Latency is how long Quote and Book take; 0 is as fast as can be.
	Latency time.Duration
	// Day is how long a day of a parcel's journey lasts.
	Day time.Duration
}

// Server is the service with its gRPC server.
type Server struct {
	pb.UnimplementedCarriersServer
	*grpc.Server

	store    *store.Store
	settings Settings
	log      *slog.Logger
	health   *health.Server
	calls    slots
	streams  slots
	stopping chan struct{}
}

// New makes a server that is yet to Serve.
func New(bookings *store.Store, settings Settings, log *slog.Logger) *Server {
	s := &Server{
		store: bookings, settings: settings, log: log, health: health.NewServer(),
		calls: make(slots, MaxCalls), streams: make(slots, MaxStreams), stopping: make(chan struct{}),
	}
	s.Server = grpc.NewServer(
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxConcurrentStreams(MaxCalls+MaxStreams),
		// A caller that is gone without a word is noticed within half a minute.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.UnaryInterceptor(s.unary),
		grpc.StreamInterceptor(s.stream),
	)
	pb.RegisterCarriersServer(s.Server, s)
	healthv1.RegisterHealthServer(s.Server, s.health)
	s.health.SetServingStatus(pb.Carriers_ServiceDesc.ServiceName, healthv1.HealthCheckResponse_SERVING)
	return s
}

// Stop takes no more calls, ends streams with UNAVAILABLE, and lets calls end.
func (s *Server) Stop() {
	s.health.Shutdown()
	close(s.stopping)
	cut := time.AfterFunc(stopWithin, s.Server.Stop)
	defer cut.Stop()
	s.GracefulStop()
}

// Quote answers with the offers for a parcel.
func (s *Server) Quote(ctx context.Context, request *pb.QuoteRequest) (*pb.QuoteResponse, error) {
	id, pieces := request.GetParcel(), int(request.GetPieces())
	if err := parcel.Check(id, pieces); err != nil {
		return nil, err
	}
	if err := s.think(ctx); err != nil {
		return nil, err
	}
	response := &pb.QuoteResponse{}
	for _, offer := range parcel.Offers(id, pieces, time.Now()) {
		response.Offers = append(response.Offers, offerOf(offer))
	}
	return response, nil
}

// Book keeps a booking and answers with its promise.
func (s *Server) Book(ctx context.Context, request *pb.BookRequest) (*pb.BookResponse, error) {
	wanted := parcel.Booking{
		Parcel: request.GetParcel(), Pieces: int(request.GetPieces()), Carrier: request.GetCarrier(),
		At: time.Now().UTC(), Day: s.settings.Day,
	}
	if err := parcel.Check(wanted.Parcel, wanted.Pieces); err != nil {
		return nil, err
	}
	if _, err := wanted.Promise(); err != nil {
		return nil, err
	}
	if err := s.think(ctx); err != nil {
		return nil, err
	}
	kept, err := s.store.Book(wanted)
	if err != nil {
		return nil, err
	}
	promise, err := kept.Promise()
	if err != nil {
		return nil, err
	}
	return &pb.BookResponse{Promise: offerOf(promise)}, nil
}

// think takes the time that a carrier's system takes.
func (s *Server) think(ctx context.Context) error {
	select {
	case <-time.After(s.settings.Latency):
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Server) unary(
	ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler,
) (any, error) {
	if !s.calls.take() {
		return nil, status.Errorf(codes.ResourceExhausted, "more than %d calls at a time", MaxCalls)
	}
	defer s.calls.free()
	response, err := handler(ctx, request)
	return response, s.told(ctx, info.FullMethod, err)
}

func (s *Server) stream(
	service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler,
) error {
	if !s.streams.take() {
		return status.Errorf(codes.ResourceExhausted, "more than %d streams at a time", MaxStreams)
	}
	defer s.streams.free()
	return s.told(stream.Context(), info.FullMethod, handler(service, stream))
}

// told is an error as the caller is told it: the one place where our errors become status codes. What is our own fault is
// logged, and the caller learns only that there was one.
func (s *Server) told(ctx context.Context, method string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return status.FromContextError(err).Err()
	case errors.Is(err, parcel.ErrID), errors.Is(err, parcel.ErrPieces), errors.Is(err, parcel.ErrCarrier):
		return status.Error(codes.InvalidArgument, err.Error())
	case errors.Is(err, store.ErrUnknown):
		return status.Error(codes.NotFound, err.Error())
	case errors.Is(err, store.ErrOther):
		return status.Error(codes.AlreadyExists, err.Error())
	}
	s.log.ErrorContext(ctx, "a call failed", "method", method, "error", err)
	return status.Error(codes.Internal, "this is our fault and has been logged")
}

func offerOf(offer parcel.Offer) *pb.Offer {
	return &pb.Offer{
		Carrier:  offer.Carrier,
		Earliest: offer.Earliest.Format(time.DateOnly),
		Latest:   offer.Latest.Format(time.DateOnly),
	}
}

// slots counts what runs at a time, up to its capacity.
type slots chan struct{}

func (s slots) take() bool {
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s slots) free() { <-s }

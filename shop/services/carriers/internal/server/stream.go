package server

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "shop.example/carriers/internal/carriersv1"
	"shop.example/carriers/internal/feed"
	"shop.example/carriers/internal/parcel"
	"shop.example/carriers/internal/store"
)

// alive is the longest silence of a stream, as the contract says.
const alive = 15 * time.Second

// Track streams one parcel's events.
func (s *Server) Track(request *pb.TrackRequest, stream pb.Carriers_TrackServer) error {
	var f feed.Feed
	if err := s.add(&f, request); err != nil {
		return err
	}
	if err := stream.SendHeader(nil); err != nil {
		return err
	}
	return s.run(stream.Context(), &f, nil, track{stream})
}

// Follow streams the events of the parcels that the caller adds.
func (s *Server) Follow(stream pb.Carriers_FollowServer) error {
	ctx, changes := stream.Context(), make(chan request)
	// Ends when the caller has closed its side, or with the stream's context, which ends with this function.
	go func() {
		defer close(changes)
		for {
			change, err := stream.Recv()
			if err == io.EOF {
				return
			}
			select {
			case changes <- request{change, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	// The first event may be far away, and a caller wants to know now that it is heard.
	if err := stream.SendHeader(nil); err != nil {
		return err
	}
	return s.run(ctx, &feed.Feed{}, changes, follow{stream})
}

// A request is what the caller asks, or why that could not be read.
type request struct {
	change *pb.FollowRequest
	err    error
}

// A sink is the caller's side of a stream. A send blocks while the caller does not read.
type sink interface {
	event(*pb.Event) error
	unknown(parcel string) error
	alive() error
}

// run sends what happens as it happens, until all that is followed has been delivered and no change can come.
func (s *Server) run(ctx context.Context, f *feed.Feed, changes <-chan request, out sink) error {
	said := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		for event, ok := f.Due(time.Now()); ok; event, ok = f.Due(time.Now()) {
			if err := out.event(eventOf(event)); err != nil {
				return err
			}
			said = time.Now()
		}
		if changes == nil && f.Len() == 0 {
			return nil
		}
		wake := said.Add(alive)
		if next, ok := f.Next(); ok && next.Before(wake) {
			wake = next
		}
		timer.Reset(time.Until(wake))
		select {
		case request, ok := <-changes:
			if !ok {
				changes = nil
				continue
			}
			if request.err != nil {
				return request.err
			}
			if err := s.change(f, request.change, out); err != nil {
				return err
			}
		case <-timer.C:
			if time.Since(said) >= alive {
				if err := out.alive(); err != nil {
					return err
				}
				said = time.Now()
			}
		case <-ctx.Done():
			return ctx.Err()
		case <-s.stopping:
			return status.Error(codes.Unavailable, "going away; ask again")
		}
	}
}

func (s *Server) change(f *feed.Feed, change *pb.FollowRequest, out sink) error {
	switch change := change.GetChange().(type) {
	case *pb.FollowRequest_Add:
		err := s.add(f, change.Add)
		if errors.Is(err, store.ErrUnknown) {
			return out.unknown(change.Add.GetParcel())
		}
		return err
	case *pb.FollowRequest_Remove:
		f.Remove(change.Remove)
		return nil
	default:
		return status.Error(codes.InvalidArgument, "change: neither add nor remove")
	}
}

func (s *Server) add(f *feed.Feed, request *pb.TrackRequest) error {
	id := request.GetParcel()
	if err := parcel.CheckID(id); err != nil {
		return err
	}
	booking, err := s.store.Find(id)
	if err != nil {
		return err
	}
	if err := f.Add(booking, int(request.GetAfter())); err != nil {
		return status.Error(codes.ResourceExhausted, err.Error())
	}
	return nil
}

type track struct{ stream pb.Carriers_TrackServer }

func (t track) event(event *pb.Event) error {
	return t.stream.Send(&pb.TrackResponse{News: &pb.TrackResponse_Event{Event: event}})
}

func (t track) unknown(string) error { return store.ErrUnknown }

func (t track) alive() error {
	return t.stream.Send(&pb.TrackResponse{News: &pb.TrackResponse_Alive{Alive: &pb.Alive{}}})
}

type follow struct{ stream pb.Carriers_FollowServer }

func (f follow) event(event *pb.Event) error {
	return f.stream.Send(&pb.FollowResponse{News: &pb.FollowResponse_Event{Event: event}})
}

func (f follow) unknown(id string) error {
	return f.stream.Send(&pb.FollowResponse{News: &pb.FollowResponse_Unknown{Unknown: id}})
}

func (f follow) alive() error {
	return f.stream.Send(&pb.FollowResponse{News: &pb.FollowResponse_Alive{Alive: &pb.Alive{}}})
}

// eventOf relies on both enumerations having the same numbers; a test says so.
func eventOf(event parcel.Event) *pb.Event {
	return &pb.Event{
		Parcel: event.Parcel, Sequence: int32(event.Sequence), Status: pb.Status(event.Status),
		Place: event.Place, At: timestamppb.New(event.At),
	}
}

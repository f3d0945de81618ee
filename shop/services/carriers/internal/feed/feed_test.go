package feed

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"shop.example/carriers/internal/parcel"
)

var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func booking(i int) parcel.Booking {
	at := start.Add(time.Duration(i) * time.Second)
	return parcel.Booking{Parcel: fmt.Sprintf("p-%d", i), Pieces: 1, Carrier: "Slowboat", At: at, Day: time.Hour}
}

func drain(f *Feed, now time.Time) (events []parcel.Event) {
	for {
		event, ok := f.Due(now)
		if !ok {
			return events
		}
		events = append(events, event)
	}
}

// Against a plain model: whatever is added, taken off and read in between, what a parcel tells is its course, in order and once.
func TestWhateverIsAddedAndTakenOffEachParcelTellsItsCourseOnce(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 0))
		var f Feed
		now := start
		known := map[string]int{} // The last sequence that was read, of what is followed.
		read := func() {
			for _, event := range drain(&f, now) {
				if last, ok := known[event.Parcel]; !ok || event.Sequence != last+1 || event.At.After(now) {
					t.Fatalf("seed %d: %+v after sequence %d (followed: %t) at %v", seed, event, last, ok, now)
				}
				known[event.Parcel] = event.Sequence
			}
		}
		for range 100 {
			b := booking(rng.IntN(10))
			switch rng.IntN(4) {
			case 0:
				f.Remove(b.Parcel)
				delete(known, b.Parcel)
			case 1:
				after := rng.IntN(9)
				if err := f.Add(b, after); err != nil {
					t.Fatal(err)
				}
				known[b.Parcel] = after
			default:
				now = now.Add(time.Duration(rng.IntN(30)) * time.Minute)
				read()
			}
		}
		now = now.Add(1000 * time.Hour)
		read()
		for id, last := range known {
			var i int
			if _, err := fmt.Sscanf(id, "p-%d", &i); err != nil {
				t.Fatal(err)
			}
			if want := len(booking(i).Course()); last < want {
				t.Fatalf("seed %d: %s was read to %d of %d", seed, id, last, want)
			}
		}
		if _, ok := f.Next(); ok || f.Len() != 0 {
			t.Fatalf("seed %d: %d parcels are followed for ever", seed, f.Len())
		}
	}
}

func TestOneParcelTooManyIsRefusedAndADeliveredOneMakesRoom(t *testing.T) {
	var f Feed
	for i := range Max {
		if err := f.Add(booking(i), 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Add(booking(Max), 0); !errors.Is(err, ErrFull) {
		t.Fatalf("one too many: %v", err)
	}
	if err := f.Add(booking(0), 2); err != nil {
		t.Fatalf("one that is followed already: %v", err)
	}
	drain(&f, start.Add(1000*time.Hour))
	if err := f.Add(booking(Max), 0); err != nil {
		t.Fatalf("after all were delivered: %v", err)
	}
}

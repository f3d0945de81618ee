package parcel

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// A Saturday.
var saturday = time.Date(2026, 11, 21, 23, 59, 0, 0, time.UTC)

func TestOffersAreTheSameForTheSameParcelAndSkipSundays(t *testing.T) {
	fast := 0
	for i := range 400 {
		id := fmt.Sprintf("p-%d", i)
		offers := Offers(id, 1, saturday)
		if got := Offers(id, 1, saturday); fmt.Sprint(got) != fmt.Sprint(offers) {
			t.Fatalf("%s: %v, then %v", id, offers, got)
		}
		for j, offer := range offers {
			if offer.Earliest.Weekday() == time.Sunday || offer.Latest.Weekday() == time.Sunday {
				t.Errorf("%v promises a Sunday", offer)
			}
			if offer.Latest.Before(offer.Earliest) || j > 0 && offer.Latest.Before(offers[j-1].Latest) {
				t.Errorf("%v is out of order", offers)
			}
		}
		if offers[0].Carrier == carriers[0].name {
			fast++
		}
	}
	if fast < 250 || fast > 350 {
		t.Errorf("the fastest took %d of 400, want about three in four", fast)
	}
}

func TestPromiseCountsWorkingDays(t *testing.T) {
	for _, test := range []struct {
		pieces           int
		earliest, latest string
	}{
		{1, "2026-11-24", "2026-11-26"},
		{bulky, "2026-11-25", "2026-11-27"},
	} {
		booking := Booking{Parcel: "p", Pieces: test.pieces, Carrier: "Harbour Post", At: saturday, Day: time.Hour}
		offer, err := booking.Promise()
		if err != nil {
			t.Fatal(err)
		}
		got := [2]string{offer.Earliest.Format(time.DateOnly), offer.Latest.Format(time.DateOnly)}
		if got != [2]string{test.earliest, test.latest} {
			t.Errorf("%d pieces: %v, want %s to %s", test.pieces, got, test.earliest, test.latest)
		}
	}
	if _, err := (Booking{Carrier: "Nobody"}).Promise(); err != ErrCarrier {
		t.Errorf("an unknown carrier: %v", err)
	}
}

func TestEveryCourseGoesForwardFromBookedToDelivered(t *testing.T) {
	for i := range 400 {
		booking := Booking{Parcel: fmt.Sprintf("p-%d", i), Carrier: "Slowboat", At: saturday, Day: time.Minute}
		course := booking.Course()
		if len(course) < 5 || len(course) > 8 {
			t.Fatalf("%d events", len(course))
		}
		last := course[len(course)-1]
		if course[0].Status != Booked || !course[0].At.Equal(saturday) || last.Status != Delivered {
			t.Fatalf("from %v to %v", course[0], last)
		}
		for j, event := range course {
			if event.Sequence != j+1 {
				t.Fatalf("event %d has sequence %d", j+1, event.Sequence)
			}
			if j > 0 && (!event.At.After(course[j-1].At) || event.Status < course[j-1].Status) {
				t.Fatalf("%v follows %v", event, course[j-1])
			}
		}
		if fmt.Sprint(booking.Course()) != fmt.Sprint(course) {
			t.Fatal("another course for the same booking")
		}
	}
}

func TestWhatCanNeverBeAParcelIsRefused(t *testing.T) {
	for id, want := range map[string]error{
		"ON-0079-9273-9871-3": nil, "a.b_c": nil, strings.Repeat("x", MaxID): nil,
		"": ErrID, "a b": ErrID, "a/b": ErrID, "é": ErrID, "a\x00": ErrID, strings.Repeat("x", MaxID+1): ErrID,
	} {
		if got := Check(id, 1); got != want {
			t.Errorf("%q: %v, want %v", id, got, want)
		}
	}
	for pieces, want := range map[int]error{1: nil, MaxPieces: nil, 0: ErrPieces, -1: ErrPieces, MaxPieces + 1: ErrPieces} {
		if got := Check("p", pieces); got != want {
			t.Errorf("%d pieces: %v, want %v", pieces, got, want)
		}
	}
}

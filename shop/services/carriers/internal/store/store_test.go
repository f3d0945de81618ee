package store

import (
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"shop.example/carriers/internal/parcel"
)

func open(t *testing.T, path string) *Store {
	t.Helper()
	store, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func booking(id string) parcel.Booking {
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	return parcel.Booking{Parcel: id, Pieces: 2, Carrier: "Slowboat", At: at, Day: time.Minute}
}

func TestTheFirstBookingCountsAndOutlivesTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "carriers.db")
	store := open(t, path)
	first := booking("p1")
	var all sync.WaitGroup
	for i := range 32 {
		all.Go(func() {
			wanted := booking("p1")
			wanted.At = wanted.At.Add(time.Duration(i) * time.Hour)
			if _, err := store.Book(wanted); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	kept, err := store.Book(first)
	if err != nil {
		t.Fatal(err)
	}
	for _, other := range []func(*parcel.Booking){
		func(b *parcel.Booking) { b.Pieces++ },
		func(b *parcel.Booking) { b.Carrier = "Harbour Post" },
	} {
		wanted := first
		other(&wanted)
		if _, err := store.Book(wanted); !errors.Is(err, ErrOther) {
			t.Errorf("%+v: %v, want %v", wanted, err, ErrOther)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}

	store = open(t, path)
	defer store.Close()
	if found, err := store.Find("p1"); err != nil || found != kept {
		t.Errorf("found %+v, %v; want %+v", found, err, kept)
	}
	if _, err := store.Find("p2"); !errors.Is(err, ErrUnknown) {
		t.Errorf("another parcel: %v, want %v", err, ErrUnknown)
	}
}

// Package store keeps bookings in one bbolt file.
//
// A booking is written once and never changed; bbolt has synced it to the disk before Book returns. Nothing is purged: a
// booking is about 150 bytes, and a repeat of Book is recognised for ever.
package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"shop.example/carriers/internal/parcel"
)

var bookings = []byte("bookings")

// lockWithin is how long another process may go on holding the file; during a replacement the old instance is on its way out.
const lockWithin = 10 * time.Second

// Errors that a caller can tell apart.
var (
	ErrUnknown = errors.New("there is no such parcel")
	ErrOther   = errors.New("the parcel was booked before, with another carrier or other pieces")
)

// Store is the open file. One process at a time can have it.
type Store struct{ db *bbolt.DB }

// Open opens or makes the file.
func Open(path string) (*Store, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWithin, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.MaxBatchDelay = 2 * time.Millisecond // Bookings that arrive together share a sync.
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bookings)
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare %s: %w", path, err), db.Close())
	}
	return &Store{db}, nil
}

// Close waits for what is being written.
func (s *Store) Close() error { return s.db.Close() }

// Book keeps a booking, unless the parcel has one, and returns the one that counts. [ErrOther] where that is for another
// carrier or other pieces.
func (s *Store) Book(wanted parcel.Booking) (parcel.Booking, error) {
	var kept parcel.Booking
	err := s.db.Batch(func(tx *bbolt.Tx) error { // May run twice, so it only assigns.
		bucket := tx.Bucket(bookings)
		if stored := bucket.Get([]byte(wanted.Parcel)); stored != nil {
			return decode(stored, &kept)
		}
		text, err := json.Marshal(wanted)
		if err != nil {
			return err
		}
		kept = wanted
		return bucket.Put([]byte(wanted.Parcel), text)
	})
	if err != nil {
		return parcel.Booking{}, fmt.Errorf("book %s: %w", wanted.Parcel, err)
	}
	if kept.Carrier != wanted.Carrier || kept.Pieces != wanted.Pieces {
		return parcel.Booking{}, ErrOther
	}
	return kept, nil
}

// Find returns a parcel's booking, or [ErrUnknown].
func (s *Store) Find(id string) (parcel.Booking, error) {
	var found parcel.Booking
	err := s.db.View(func(tx *bbolt.Tx) error {
		stored := tx.Bucket(bookings).Get([]byte(id))
		if stored == nil {
			return ErrUnknown
		}
		return decode(stored, &found)
	})
	return found, err
}

func decode(text []byte, booking *parcel.Booking) error {
	if err := json.Unmarshal(text, booking); err != nil {
		return fmt.Errorf("a stored booking is unreadable: %w", err)
	}
	return nil
}

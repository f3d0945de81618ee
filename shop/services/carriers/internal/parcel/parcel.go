// Package parcel knows what carriers promise and how a parcel travels, and decides nothing else.
//
// Everything here is a pure function of a parcel's id, its booking and the time: there is no random source, no clock and no
// state. What happened to a parcel until now is therefore never stored and never queued; whoever wants to know computes it
// from the booking, today, tomorrow and after a crash, and always gets the same.
package parcel

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"
)

// Bounds of what is taken.
const (
	MaxID     = 64
	MaxPieces = 100_000
)

// What can never be right, and no repeat makes so.
var (
	ErrID      = fmt.Errorf("parcel: an id has 1 to %d letters, digits and -._", MaxID)
	ErrPieces  = fmt.Errorf("pieces: a parcel has 1 to %d", MaxPieces)
	ErrCarrier = errors.New("carrier: there is none of this name")
)

// A carrier takes so many working days.
type carrier struct {
	name     string
	min, max int
}

var carriers = []carrier{
	{"Meridian Express", 1, 2},
	{"Harbour Post", 2, 4},
	{"Slowboat", 4, 7},
}

// bulky is the number of pieces from which a parcel takes a day longer.
const bulky = 20

// An Offer promises delivery from one day to another; both are midnights in UTC.
type Offer struct {
	Carrier          string
	Earliest, Latest time.Time
}

// A Booking is a parcel in a carrier's hands.
type Booking struct {
	Parcel  string    `json:"parcel"`
	Pieces  int       `json:"pieces"`
	Carrier string    `json:"carrier"`
	At      time.Time `json:"at"`
	// Day is how long a day of the simulated journey lasts. Kept with the booking, so that its history never changes.
	Day time.Duration `json:"day"`
}

// Status says where a parcel is on its way; each is later than the ones before.
type Status int

// The statuses in the order in which a parcel passes them.
const (
	Booked Status = iota + 1
	PickedUp
	InTransit
	OutForDelivery
	Delivered
)

// An Event is something that happened to a parcel. Sequences begin at 1 and have no gaps.
type Event struct {
	Parcel   string
	Sequence int
	Status   Status
	Place    string
	At       time.Time
}

// Check says whether a parcel of this id and so many pieces can be.
func Check(id string, pieces int) error {
	if pieces < 1 || pieces > MaxPieces {
		return ErrPieces
	}
	return CheckID(id)
}

// CheckID says whether an id can be one.
func CheckID(id string) error {
	if id == "" || len(id) > MaxID {
		return ErrID
	}
	for _, c := range []byte(id) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' {
			return ErrID
		}
	}
	return nil
}

// Offers are the carriers that would take the parcel now, the one that arrives first before the others. One in four parcels
// is none for the fastest.
func Offers(id string, pieces int, now time.Time) []Offer {
	rng := source(id, "offers")
	var offers []Offer
	for i, c := range carriers {
		if i == 0 && rng.IntN(4) == 0 {
			continue
		}
		offers = append(offers, c.promise(pieces, now))
	}
	slices.SortStableFunc(offers, func(a, b Offer) int { return a.Latest.Compare(b.Latest) })
	return offers
}

// Promise is what the booking's carrier promised when it was booked.
func (b Booking) Promise() (Offer, error) {
	for _, c := range carriers {
		if c.name == b.Carrier {
			return c.promise(b.Pieces, b.At), nil
		}
	}
	return Offer{}, ErrCarrier
}

func (c carrier) promise(pieces int, now time.Time) Offer {
	extra := 0
	if pieces >= bulky {
		extra = 1
	}
	today := now.UTC().Truncate(24 * time.Hour)
	return Offer{c.name, workingDays(today, c.min+extra), workingDays(today, c.max+extra)}
}

// workingDays is the day so many days later on which carriers work, which is every day but Sunday.
func workingDays(day time.Time, count int) time.Time {
	for count > 0 {
		day = day.AddDate(0, 0, 1)
		if day.Weekday() != time.Sunday {
			count--
		}
	}
	return day
}

var hubs = []string{"Northgate", "Millbrook", "Eastfield", "Lowmoor", "Harrowdale", "Southbank"}

// Course is everything that happens to a parcel, from its booking to its delivery, what is still to come included: at least
// five events, at most eight.
func (b Booking) Course() []Event {
	rng := source(b.Parcel, "course")
	stops := 1 + rng.IntN(4)
	days := float64(1 + rng.IntN(3))
	var course []Event
	add := func(status Status, place string, share float64) {
		at := b.At.Add(time.Duration(share * days * float64(b.Day)))
		course = append(course, Event{b.Parcel, len(course) + 1, status, place, at})
	}
	add(Booked, b.Carrier, 0)
	add(PickedUp, "Warehouse", 0.1)
	for i, hub := range rng.Perm(len(hubs))[:stops] {
		add(InTransit, hubs[hub], 0.2+0.5*float64(i)/float64(stops))
	}
	add(OutForDelivery, "Van", 0.8)
	add(Delivered, "Front door", 0.9+0.1*rng.Float64())
	return course
}

// source gives the same numbers for the same parcel and purpose, in every process and release.
func source(id, purpose string) *rand.Rand {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(purpose + "/" + id)) // A hash takes everything.
	return rand.New(rand.NewPCG(hash.Sum64(), 0))
}

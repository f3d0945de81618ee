// Package feed merges the courses of many parcels into one sequence in the order of time.
//
// What must hold
//   - A parcel's events come in the order of their sequence, each once, none before its time.
//   - There is no queue: a reader that is slow makes nothing grow, since what it has not read is still in the courses.
//   - At most [Max] parcels at a time; one that has been delivered takes no place.
//
// A feed reads no clock and is used by one goroutine.
package feed

import (
	"container/heap"
	"errors"
	"fmt"
	"time"

	"shop.example/carriers/internal/parcel"
)

// Max is how many parcels one feed follows, about 10 MB of courses.
const Max = 10_000

// ErrFull is the answer to one parcel too many.
var ErrFull = errors.New("a stream follows at most " + fmt.Sprint(Max) + " parcels")

// Feed follows parcels. The zero value follows none.
type Feed struct {
	next     order
	followed map[string]*journey
}

// A journey is what is left of a parcel's course; never empty while it is followed.
type journey struct {
	left  []parcel.Event
	place int // In the heap.
}

// Add follows a parcel from the event after the given sequence on. Added again, it starts again from there.
func (f *Feed) Add(booking parcel.Booking, after int) error {
	f.Remove(booking.Parcel)
	course := booking.Course()
	after = max(after, 0)
	if after >= len(course) {
		return nil // Nothing more will happen.
	}
	if len(f.followed) == Max {
		return ErrFull
	}
	if f.followed == nil {
		f.followed = make(map[string]*journey)
	}
	j := &journey{left: course[after:]}
	f.followed[booking.Parcel] = j
	heap.Push(&f.next, j)
	return nil
}

// Remove follows a parcel no more.
func (f *Feed) Remove(id string) {
	if j, ok := f.followed[id]; ok {
		heap.Remove(&f.next, j.place)
		delete(f.followed, id)
	}
}

// Len is the number of parcels followed.
func (f *Feed) Len() int { return len(f.followed) }

// Due takes the first event that has happened by now.
func (f *Feed) Due(now time.Time) (parcel.Event, bool) {
	if len(f.next) == 0 || f.next[0].left[0].At.After(now) {
		return parcel.Event{}, false
	}
	j := f.next[0]
	event := j.left[0]
	if len(j.left) == 1 {
		f.Remove(event.Parcel)
	} else {
		j.left = j.left[1:]
		heap.Fix(&f.next, 0)
	}
	return event, true
}

// Next is when the next event happens; false where nothing is followed.
func (f *Feed) Next() (time.Time, bool) {
	if len(f.next) == 0 {
		return time.Time{}, false
	}
	return f.next[0].left[0].At, true
}

// order is a heap by the time of each journey's next event.
type order []*journey

func (o order) Len() int           { return len(o) }
func (o order) Less(a, b int) bool { return o[a].left[0].At.Before(o[b].left[0].At) }

func (o order) Swap(a, b int) {
	o[a], o[b] = o[b], o[a]
	o[a].place, o[b].place = a, b
}

func (o *order) Push(x any) {
	j := x.(*journey)
	j.place = len(*o)
	*o = append(*o, j)
}

func (o *order) Pop() any {
	last := len(*o) - 1
	j := (*o)[last]
	(*o)[last] = nil // Else the heap's tail keeps it alive.
	*o = (*o)[:last]
	return j
}

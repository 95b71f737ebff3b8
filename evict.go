package eventbus

// In a queue whose own rule is DropOldest, and to which nobody has published
// with another one, any event may be evicted, and the channel's oldest is. As
// soon as rules are mixed, because of a topic's, an event in the channel cannot
// be told from its neighbours, and so stays. What DropOldest publishes then
// find no room for goes into the line, detached: accepted, with nobody waiting
// for it. There the oldest is evicted when they are as many as the capacity.

// mix notes that events that must not be evicted are published with rule r.
func (q *queue) mix(r *rule) {
	if q.rule.overflow != DropOldest || r.overflow == DropOldest || r == atOnce || q.mixed.Load() {
		return
	}
	lineMu.Lock()
	defer lineMu.Unlock()
	q.mixed.Store(true)
}

// dropOldestLocked accepts e at the cost of older events, and returns of how
// many.
func (q *queue) dropOldestLocked(p *processor, e Event) (evicted uint64, err error) {
	if q.rule.overflow == DropOldest && !q.mixed.Load() {
		return q.evictForLocked(e), nil
	}
	q.admitLocked(true)
	if q.line.empty() && q.offer(e) {
		return 0, nil
	}
	evicted, err = q.detachLocked(p, e)
	q.admitLocked(false) // as for a waiter, see enter
	return evicted, err
}

// evictForLocked accepts e after it has made room for it, and for those ahead
// of it, and returns how many events that cost.
func (q *queue) evictForLocked(e Event) (evicted uint64) {
	for {
		q.admitLocked(true)
		if q.line.empty() && q.offer(e) {
			return evicted
		}
		if old, ok := q.evictOldest(); ok {
			q.discard(old, ErrDropped)
			evicted++
		}
	}
}

// detachLocked puts e into the line, accepted. A handler's event goes where
// those go that it publishes with other rules, so that they stay in order. If
// all that could make room must not be evicted, e is dropped.
func (q *queue) detachLocked(p *processor, e Event) (evicted uint64, err error) {
	n := q.line.detached
	if p != nil {
		n = q.line.deferred.len()
	}
	if n >= q.cfg.Capacity {
		if !q.evictFromLineLocked(p != nil) {
			return 0, ErrDropped
		}
		evicted = 1
	}
	if !q.enlist(e) {
		q.count(1)
		e = q.evictable(e)
		if p != nil {
			q.line.deferred.push(e)
		} else {
			q.line.outside.push(&waiter{event: e})
			q.line.detached++
		}
	}
	q.noteLocked()
	return evicted, nil
}

// evictFromLineLocked evicts the oldest deferred or detached event that may be,
// and reports whether there is one.
func (q *queue) evictFromLineLocked(deferred bool) bool {
	l := &q.line
	if deferred {
		for i, e := range l.deferred.items[l.deferred.head:] {
			if q.giveUp(e) {
				l.deferred.removeAt(i)
				return true
			}
		}
		return false
	}
	for i, w := range l.outside.items[l.outside.head:] {
		if w.detached() && q.giveUp(w.event) {
			l.outside.removeAt(i)
			l.detached--
			return true
		}
	}
	return false
}

// evictable returns e in a parcel that says that it may be evicted.
func (q *queue) evictable(e Event) Event {
	box, ok := e.Data.(*parcel)
	if !ok {
		return (&parcel{event: e, maxAge: q.cfg.MaxAge, mayGo: true}).carrier()
	}
	if !q.packs.Load() {
		box.mayGo = true
	}
	return e
}

// giveUp evicts e, which is in the line, if it may be evicted.
func (q *queue) giveUp(e Event) bool {
	box, ok := e.Data.(*parcel)
	if !ok {
		return false
	}
	q.depot.mu.Lock() // or an event that must stay might replace this one meanwhile
	mayGo, rc := box.mayGo, box.receipt
	if mayGo && q.packs.Load() {
		q.takeLocked(box)
	}
	q.depot.mu.Unlock()
	if mayGo {
		q.evicted.Add(1)
		rc.complete(ErrDropped)
	}
	return mayGo
}

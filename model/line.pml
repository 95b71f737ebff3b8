/*
 * The queues and what a publish does: publish.go, queue.go (offer, send,
 * takeBack), line.go and waiter.go. publish.pml and shutdown.pml include it.
 *
 * A step of the model is one access to what is shared without a lock: a
 * channel, state, a count. What lineMu guards changes in the same step as the
 * access before or after it, since nobody else may look at it meanwhile. All
 * atomics of Go are sequentially consistent, as all variables are here.
 *
 * LIFE adds the counts and what else only the life cycle looks at.
 */

#ifndef NP
#define NP 2			/* processors; number q serves queue q */
#endif
#ifndef NPUB
#define NPUB 2			/* publishers from outside */
#endif
#define NW	(NP + NPUB)	/* who publishes: handlers, by their processor, then those from outside */
#define isHandler(who)	((who) < NP)
#define NONE	7

#ifndef CAP0
#define CAP0 1
#endif
#ifndef CAP1
#define CAP1 1
#endif
#ifndef CAP2
#define CAP2 1
#endif
#define CAP(q)	((q) == 0 -> CAP0 : ((q) == 1 -> CAP1 : CAP2))
#define MAXCAP	3

/* An event says who published it, from which event from outside it came, and
 * how many handlers were in between. No two are equal. */
#define EV(who, origin, gen)	((who) | ((origin) << 3) | ((gen) << 6))
#define WHO(e)		((e) & 7)
#define ORIGIN(e)	(((e) >> 3) & 7)
#define GEN(e)		((e) >> 6)

#define LINED	1		/* the bits of queue.state */
#define URGENT	2
#define CLOSING	4
#define CLOSED	8

#define ACCEPTED 1		/* what a publish comes to */
#define REFUSED	2		/* ErrClosed */
#define FULL	3		/* ErrQueueFull of deferLocked */
#define GONE	4		/* the context ended, the time was up, or it never waits */
#define RETRY	5		/* only with MUT_WAKE_ONLY */

chan ch0 = [CAP0] of { byte };
chan ch1 = [CAP1] of { byte };
chan ch2 = [CAP2] of { byte };
chan ch[NP];			/* queue.ch */
byte state[NP];			/* queue.state */

bool lineMu;			/* guards the rest */
chan deferred[NP] = [MAXDEFERRED] of { byte };	/* line.deferred */
chan parked[NP] = [NP] of { byte };		/* line.parked, whose handlers */
chan outside[NP] = [NPUB] of { byte };		/* line.outside, which publishers */
bool rush[NP];			/* line.rush */
byte held[NP];			/* line.held, 0 if there is none */
byte parkedOn[NP] = NONE;	/* processor.parkedOn */
byte wEvent[NW];		/* waiter.event; nobody has more than one waiter */
bool inLine[NW];		/* waiter.inLine */
byte done[NW];			/* waiter.done, 0 while empty */

/* empty() and its kin may not stand beside else */
#define none(c)	(len(c) == 0)
#define some(c)	(len(c) > 0)
#if NP == 2
#define nobodyInside	(none(deferred[0]) && none(parked[0]) && none(deferred[1]) && none(parked[1]))
#else
#define nobodyInside	(none(deferred[0]) && none(parked[0]) && none(deferred[1]) && none(parked[1]) && none(deferred[2]) && none(parked[2]))
#endif
#define lineEmpty(q)	(none(deferred[q]) && none(parked[q]) && none(outside[q]))

#ifdef OBSERVED
byte accepted[NP];		/* queue.accepted */
byte evicted[NP];		/* queue.evicted */
byte deferredCount[NP];		/* queue.deferred */
byte observers;			/* Bus.observers */
bool looks[2];			/* observer o holds a channel from nextChange */
bool notified[2];		/* and it is closed */
#endif
#ifdef LIFE
bool running;			/* Bus.running */
#else
#define running true
#endif

/*
 * Ghosts, which the checks need and the code has not. flight holds, for each
 * publisher and queue and in order, what has been published and neither begun
 * nor evicted, handed back or refused. What is lost stays there; what comes
 * twice, too early or after a refusal is not at its front.
 */
#ifndef FLIGHT
#define FLIGHT 4
#endif
chan flight[NW * NP] = [FLIGHT] of { byte };
#define flightOf(e, q)	flight[WHO(e) * NP + (q)]

#ifdef LIFE
byte stops;	/* how often the bus was stopped */
bool endBegun;	/* a handler's publish may be refused */
#else
#define stops	0
#define endBegun false
#endif
#ifdef FLUSHES
byte undone[8];	/* of each origin: events published and not handled */
#endif
byte late;	/* sends of the fast path that took a slot from somebody in line */

inline ghostPublish(q, e) {
	assert(len(flightOf(e, q)) < FLIGHT);
	flightOf(e, q)!e;
#ifdef FLUSHES
	undone[ORIGIN(e)]++
#endif
}
inline ghostOut(q, e) {
	assert(some(flightOf(e, q)));
	flightOf(e, q)?g;
	assert(g == e);
	g = 0
}
inline ghostRefused(q, e) {
	assert(flightOf(e, q)??[eval(e)]);
	flightOf(e, q)??eval(e);
#ifdef FLUSHES
	undone[ORIGIN(e)]--
#endif
}

/* What a process that publishes or admits declares. */
#define LOCALS	byte st, g, w, res, on, by, hops; bool ok, half, broken, defers, leads, waiting, clean

inline lock(m) { atomic { !m -> m = true } }
inline unlock(m) { m = false }

/* changed: Bus.changed */
inline changed() {
#ifdef OBSERVED
	if
	:: observers == 0
	:: else -> d_step { notified[0] = looks[0]; notified[1] = looks[1] }
	fi
#else
	skip
#endif
}

/* takeBack: queue.takeBack */
inline takeBack(q) {
#ifdef OBSERVED
	accepted[q]--;
	changed()
#else
	skip
#endif
}

/* send: queue.send. Promela lets a receiver that waits find the event in the
 * channel where Go hands it over; that adds behaviour and takes none away. */
inline send(q, e) {
	d_step {
		if
		:: len(ch[q]) < CAP(q) -> ch[q]!e; ok = true
		:: else -> ok = false
		fi
	}
}

/* offer: queue.offer */
inline offer(q, e) {
#ifdef OBSERVED
	accepted[q]++;
#endif
	send(q, e);
#ifdef OBSERVED
	if
	:: ok
	:: else -> takeBack(q)
	fi
#endif
}

/* note: queue.noteLocked, two stores */
inline note(q) {
	noteState(q);
	noteCount(q)
}
inline noteState(q) {
	d_step {
		if
		:: none(parked[q]) -> rush[q] = false
		:: else
		fi;
		state[q] = (state[q] & (CLOSING | CLOSED)) | (lineEmpty(q) -> 0 : LINED) |
			((some(deferred[q]) || rush[q]) -> URGENT : 0);
		if
		:: nobodyInside -> late = 0
		:: else
		fi
	}
}
inline noteCount(q) {
#ifdef OBSERVED
	if
	:: deferredCount[q] != len(deferred[q]) + (held[q] != 0) -> deferredCount[q] = len(deferred[q]) + (held[q] != 0)
	:: else
	fi
#else
	skip
#endif
}

/* settle: waiter.settleLocked */
inline settle(who, outcome) {
	d_step {
		inLine[who] = false;
#ifndef MUT_EDGE_LATE
		if
		:: isHandler(who) -> parkedOn[who] = NONE
		:: else
		fi;
#endif
		done[who] = outcome
	}
}

/* admitFrom: the loop of queue.admitFromLocked */
inline admitFrom(q, f) {
	do
	:: some(f) ->
		f?<w>;
		if
#ifdef MUT_WAKE_ONLY
		:: isHandler(w) && len(ch[q]) < CAP(q) -> ok = false; d_step { f?w; settle(w, RETRY) }
#endif
		:: else -> offer(q, wEvent[w])
		fi;
		if
		:: ok -> d_step { f?w; settle(w, ACCEPTED); ok = false; w = 0 }
		:: else -> w = 0; break
		fi
	:: else -> break
	od
}

/* admitLocked: queue.admitLocked */
inline admitLocked(q, eager) {
	if
	:: lineEmpty(q)
	:: state[q] & CLOSED
	:: else ->
		half = eager || len(ch[q]) <= CAP(q) / 2;
#ifdef MUT_PARKED_FIRST
		if
		:: half || rush[q] -> admitFrom(q, parked[q])
		:: else
		fi;
#endif
		do
		:: none(deferred[q]) -> break
		:: else ->
			d_step {
				if
				:: len(ch[q]) < CAP(q) -> deferred[q]?w; ch[q]!w; w = 0; ok = true
				:: else -> ok = false
				fi
			};
			if
			:: ok -> ok = false
			:: else -> break
			fi
		od;
		if
		:: none(deferred[q]) && (half || rush[q]) -> admitFrom(q, parked[q])
		:: else
		fi;
		if
		:: none(deferred[q]) && none(parked[q]) && half -> admitFrom(q, outside[q])
		:: else
		fi;
		half = false;
		note(q)
	fi
}

/* admit: queue.admit, by the processor when a slot has come free */
inline admit(q) {
	st = state[q];
	if
	:: !(st & LINED)
	:: (st & LINED) && !(st & URGENT) && len(ch[q]) > CAP(q) / 2
	:: (st & LINED) && ((st & URGENT) || len(ch[q]) <= CAP(q) / 2) ->
		lock(lineMu);
		admitLocked(q, false);
		unlock(lineMu)
	fi;
	st = 0
}

/* seeWhereItLeads: queue.leadsToLocked. hops is there for mutations that let
 * the graph have cycles. */
inline seeWhereItLeads(q, me) {
	d_step {
		on = q; hops = 0; leads = false;
		do
		:: on == NONE || hops > NP -> break
		:: on == me -> leads = true; break
		:: else -> on = parkedOn[on]; hops++
		od;
		on = 0; hops = 0
	}
}

/* rushLocked: queue.rushLocked */
inline rushLocked(q, me) {
	on = q; broken = false;
	do
	:: on == me -> break
	:: else ->
		by = on;
		on = parkedOn[by];
		rush[on] = true;
#if NP > 2
		if
		:: parked[on]?[eval(by)]
		:: else -> d_step { parked[on]?w; parked[on]!w; w = 0 }	/* toFront, of two */
		fi;
#endif
		admitLocked(on, false);
		broken = broken || parkedOn[by] == NONE
	od;
	on = 0; by = 0
}

/* mustDefer: queue.mustDeferLocked */
inline mustDefer(q, me) {
	atomic {
		defers = parkedOn[me] != NONE;
		defers = defers || !running;
		seeWhereItLeads(q, me)
	};
	do
	:: defers || !leads -> break
	:: else ->
		rushLocked(q, me);
		atomic {
			defers = !broken; broken = false;
			seeWhereItLeads(q, me)
		}
	od;
	leads = false
#ifdef MUT_PARK_ALWAYS
	;
	defers = false
#endif
}

/* What queue.deferLocked takes. The first event for each that a handler is at
 * is taken in any case, and here handlers publish no second one, so there is no
 * processor.deferredAt. */
#ifdef MUT_BOUND_THE_LIST
#define mayDefer(q)	(len(deferred[q]) < CAP(q))
#else
#define mayDefer(q)	true
#endif

/* deferLocked: queue.deferLocked, with the store of the note */
inline deferLocked(q, e) {
	if
	:: mayDefer(q) ->
#ifdef OBSERVED
		accepted[q]++;
#endif
		atomic {
			deferred[q]!e;
			assert(len(deferred[q]) <= CAP(q) + late + stops * (NP - 1));
			res = ACCEPTED;
			noteState(q)
		};
		noteCount(q)
	:: else -> res = FULL
	fi
}

/* evict: queue.evictForLocked */
inline evict(q, e) {
	do
	:: admitLocked(q, true);
		if
		:: lineEmpty(q) -> offer(q, e)
		:: else -> ok = false
		fi;
		if
		:: ok -> break
		:: else
		fi;
		if
		:: d_step { some(ch[q]) -> ch[q]?w; ghostOut(q, w); w = 0 };
#ifdef OBSERVED
			evicted[q]++
#endif
		:: none(ch[q])
		fi
	od
}

/* TRY: the last publisher never waits. DROP_OLDEST: queue 0 drops the oldest. */
#ifdef TRY
#define TRIES(me)	((me) == NW - 1)
#else
#define TRIES(me)	false
#endif
#ifdef DROP_OLDEST
#define DROPS_OLDEST(q)	((q) == 0)
#define EVICTS
#else
#define DROPS_OLDEST(q)	false
#endif
/* Whom closing keeps out. */
#ifdef MUT_REFUSE_HANDLERS
#define closedTo(me)	true
#else
#define closedTo(me)	(!isHandler(me))
#endif
/* LEAVE: any wait may end by itself, at its timeout or with its context. */
#ifdef LEAVE
#define LEAVES(me)	true
#else
#define LEAVES(me)	false
#endif

/* publish: Bus.publish and queue.publishSlow, by me */
inline publish(q, e, me) {
#ifdef OBSERVED
	d_step {
		ghostPublish(q, e);
#ifndef MUT_COUNT_LATE
		accepted[q]++
#endif
	}
	atomic {
#else
	atomic {
		ghostPublish(q, e);
#endif
		st = state[q];
		clean = st == 0;
#ifdef MUT_BARGE
		if
		:: !isHandler(me) -> st = st & (CLOSING | CLOSED)
		:: else
		fi
#endif
	}
	if
	:: st == 0 ->
		d_step {
			if
			:: len(ch[q]) < CAP(q) ->
				ch[q]!e; ok = true;
				if
				:: clean && (some(deferred[q]) || some(parked[q])) -> late++
				:: else
				fi
			:: else -> ok = false
			fi
		}
	:: else -> st = 0; ok = false
	fi;
	clean = false;
	if
	:: ok -> ok = false; res = ACCEPTED;
#if defined(OBSERVED) && defined(MUT_COUNT_LATE)
		accepted[q]++
#endif
	:: else ->
#ifndef MUT_COUNT_LATE
		takeBack(q);
#endif
#ifdef MUT_WAKE_ONLY
again:
#endif
		enter(q, e, me);
		if
		:: waiting -> await(q, me)
		:: else
		fi;
#ifdef MUT_WAKE_ONLY
		if
		:: res == RETRY -> goto again
		:: else
		fi
#endif
	fi;
	if
	:: res != ACCEPTED -> d_step { ghostRefused(q, e) }
	:: else
	fi
}

/* enter: queue.enter, and the choice of publishSlow to wait */
inline enter(q, e, me) {
	lock(lineMu);
	if
	:: (state[q] & CLOSED) || (state[q] & CLOSING) && closedTo(me) -> res = REFUSED
	:: else ->
		if
		:: TRIES(me) || DROPS_OLDEST(q) -> admitLocked(q, true)
		:: else
		fi;
		if
#ifdef MUT_BARGE
		:: lineEmpty(q) || !isHandler(me) -> offer(q, e)
#else
		:: lineEmpty(q) -> offer(q, e)
#endif
		:: else -> ok = false
		fi;
		if
		:: ok -> ok = false; res = ACCEPTED
		:: else ->
			if
			:: TRIES(me) -> res = GONE
			:: !TRIES(me) && DROPS_OLDEST(q) -> evict(q, e); ok = false; res = ACCEPTED
			:: else ->
				if
				:: isHandler(me) -> mustDefer(q, me)
				:: else -> defers = false
				fi;
				if
				:: defers ->
					defers = false;
					deferLocked(q, e);
					admitLocked(q, false)
				:: else -> joinLocked(q, e, me);
#ifndef MUT_NO_LOOK_AGAIN
					admitLocked(q, false)
#endif
				fi
			fi
		fi
	fi;
	unlock(lineMu)
}

/* joinLocked: queue.joinLocked */
inline joinLocked(q, e, me) {
	atomic {
		d_step {
			wEvent[me] = e; inLine[me] = true; done[me] = 0; waiting = true;
			if
			:: isHandler(me) -> parkedOn[me] = q; parked[q]!me
			:: else -> outside[q]!me
			fi
		}
		noteState(q)
	};
	noteCount(q)
}

/* await: queue.await and leave */
inline await(q, me) {
	if
	:: done[me] != 0
	:: LEAVES(me) ->		/* queue.leave */
		lock(lineMu);
		admitLocked(q, true);
		if
		:: !inLine[me]
		:: else ->
			d_step {
				if
				:: isHandler(me) -> parked[q]??eval(me)
				:: else -> outside[q]??eval(me)
				fi
			}
			settle(me, GONE);
			note(q)
		fi;
		unlock(lineMu)
	fi;
#ifdef MUT_EDGE_LATE
	if
	:: isHandler(me) -> lock(lineMu); parkedOn[me] = NONE; unlock(lineMu)
	:: else
	fi;
#endif
	d_step { res = done[me]; done[me] = 0; wEvent[me] = 0; waiting = false }
}

/*
 * The queues and what a publish does: bus.go (publish), queue.go (offer, send,
 * takeBack) and line.go. publish.pml and shutdown.pml include it.
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
#define RETRY	5		/* only with WAKE */

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
bool hasDeferred[NP];		/* processor.deferredAt is the event that the handler is at */
byte wEvent[NW];		/* waiter.event; nobody has more than one waiter */
bool inLine[NW];		/* waiter.inLine */
byte done[NW];			/* waiter.done, 0 while empty */

/* empty() and its kin may not stand beside else */
#define none(c)	(len(c) == 0)
#define some(c)	(len(c) > 0)
#define lineEmpty(q)	(none(deferred[q]) && none(parked[q]) && none(outside[q]))

#ifdef LIFE
byte accepted[NP];		/* queue.accepted */
byte evicted[NP];		/* queue.evicted */
byte deferredCount[NP];		/* queue.deferred */
byte observers;			/* Bus.observers */
bool notified[2];		/* the channel that observer o got from nextChange is closed */
bool running;			/* Bus.running */
#else
#define running true
#define endBegun false
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

byte late[NP];	/* fast-path sends that came in between while events were deferred */

inline ghostPublish(q, e) { assert(len(flightOf(e, q)) < FLIGHT); flightOf(e, q)!e }
inline ghostOut(q, e) {
	assert(some(flightOf(e, q)));
	flightOf(e, q)?g;
	assert(g == e);
	g = 0
}
inline ghostRefused(q, e) {
	assert(flightOf(e, q)??[eval(e)]);
	flightOf(e, q)??eval(e)
}

/* What a process that publishes or admits declares. */
#define LOCALS	byte st, g, w, res, on, by, hops; bool ok, half, broken, defers, leads, waiting, clean, tried

inline lock(m) { atomic { !m -> m = true } }
inline unlock(m) { m = false }

/* changed: Bus.changed */
inline changed() {
#ifdef LIFE
	if
	:: observers == 0
	:: else -> d_step { notified[0] = true; notified[1] = true }
	fi
#else
	skip
#endif
}

/* takeBack: queue.takeBack */
inline takeBack(q) {
#ifdef LIFE
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
#ifdef LIFE
	accepted[q]++;
#endif
	send(q, e);
#ifdef LIFE
	if
	:: ok
	:: else -> takeBack(q)
	fi
#endif
}

/* note: queue.noteLocked */
inline note(q) {
	d_step {
		if
		:: none(parked[q]) -> rush[q] = false
		:: else
		fi;
		state[q] = (state[q] & (CLOSING | CLOSED)) | (lineEmpty(q) -> 0 : LINED) |
			((some(deferred[q]) || rush[q]) -> URGENT : 0);
		if
		:: none(deferred[q]) -> late[q] = 0
		:: else
		fi
	}
#ifdef LIFE
	if
	:: deferredCount[q] != len(deferred[q]) + (held[q] != 0) -> deferredCount[q] = len(deferred[q]) + (held[q] != 0)
	:: else
	fi
#endif
}

/* settle: waiter.settleLocked */
inline settle(who, outcome) {
	d_step {
		inLine[who] = false;
#ifndef EDGE_LATE
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
#ifdef WAKE
		:: isHandler(w) && len(ch[q]) < CAP(q) -> ok = false; d_step { f?w; settle(w, RETRY) }
#endif
#ifdef WAKE_OUTSIDE
		:: !isHandler(w) && len(ch[q]) < CAP(q) -> ok = false; d_step { f?w; settle(w, RETRY) }
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
#ifndef ADMIT_AFTER_END
	:: state[q] & CLOSED
#endif
	:: else ->
		half = eager || len(ch[q]) <= CAP(q) / 2;
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
#ifndef NO_RUSH
		rush[on] = true;
#endif
#ifdef RUSH_WITHOUT_LOOK
		note(on);
#else
		admitLocked(on, false);
#endif
		broken = broken || parkedOn[by] == NONE
	od;
	on = 0; by = 0
}

/* mustDefer: queue.mustDeferLocked */
inline mustDefer(q, me) {
	defers = parkedOn[me] != NONE;
#ifndef PARK_WHEN_STOPPED
	defers = defers || !running;
#endif
	do
	:: defers -> break
	:: else ->
		seeWhereItLeads(q, me);
		if
		:: !leads -> break
		:: else -> leads = false; rushLocked(q, me); defers = !broken; broken = false
		fi
	od
}

/* mayDefer: whether queue.deferLocked takes one more. */
#ifdef BOUND_THE_LIST
#define mayDefer(q, me)	(len(deferred[q]) < CAP(q))
#else
#define mayDefer(q, me)	(!hasDeferred[me] || len(deferred[q]) < CAP(q))
#endif

/* deferLocked: queue.deferLocked, with the store of the note */
inline deferLocked(q, e, me) {
	if
	:: mayDefer(q, me) ->
#ifdef LIFE
		accepted[q]++;
#endif
		d_step {
			hasDeferred[me] = true;
			deferred[q]!e;
			assert(len(deferred[q]) <= CAP(q) + late[q]);
			res = ACCEPTED
		};
		note(q)
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
#ifdef LIFE
			evicted[q]++
#endif
		:: none(ch[q])
		fi
	od
}

/* Which publishes never wait, and which queues drop the oldest. */
#ifndef TRIES
#define TRIES(me) false
#endif
#ifndef DROPS_OLDEST
#define DROPS_OLDEST(q) false
#endif
/* Whom closing keeps out. */
#ifdef REFUSE_HANDLERS
#define closedTo(me)	true
#else
#define closedTo(me)	(!isHandler(me))
#endif
/* Whose wait may end by itself. */
#ifndef LEAVES
#define LEAVES(me) false
#endif

/* publish: Bus.publish and queue.publishSlow, by me */
inline publish(q, e, me) {
	d_step {
		ghostPublish(q, e);
#if defined(LIFE) && !defined(COUNT_LATE)
		accepted[q]++
#endif
	}
fast:
	atomic {
		st = state[q];
		clean = st == 0;
#ifdef BARGE
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
				:: clean && some(deferred[q]) -> late[q]++
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
#if defined(LIFE) && defined(COUNT_LATE)
		accepted[q]++
#endif
	:: else ->
#ifndef COUNT_LATE
		takeBack(q);
#endif
		if
		/* queue.drainsSoon, and another try */
		:: !tried && !TRIES(me) && !DROPS_OLDEST(q) && len(ch[q]) <= CAP(q) / 2 ->
			tried = true;
#if defined(LIFE) && !defined(COUNT_LATE)
			accepted[q]++;
#endif
			goto fast
		:: true
		fi;
#if defined(WAKE) || defined(WAKE_OUTSIDE)
again:
#endif
		enter(q, e, me);
		if
		:: waiting -> await(q, me)
		:: else
		fi;
#if defined(WAKE) || defined(WAKE_OUTSIDE)
		if
		:: res == RETRY -> goto again
		:: else
		fi
#endif
	fi;
	tried = false;
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
#ifdef BARGE
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
					deferLocked(q, e, me);
#ifndef DEFER_WITHOUT_LOOK
					admitLocked(q, false)
#endif
				:: else -> joinLocked(q, e, me);
#ifndef JOIN_WITHOUT_LOOK
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
	d_step {
		wEvent[me] = e; inLine[me] = true; done[me] = 0; waiting = true;
		if
		:: isHandler(me) -> parkedOn[me] = q; parked[q]!me
		:: else -> outside[q]!me
		fi
	}
	note(q)
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
#ifdef EDGE_LATE
	if
	:: isHandler(me) -> lock(lineMu); parkedOn[me] = NONE; unlock(lineMu)
	:: else
	fi;
#endif
	d_step { res = done[me]; done[me] = 0; wEvent[me] = 0; waiting = false }
}

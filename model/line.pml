/*
 * The queues and what a publish does: publish.go, chunk.go, line.go, waiter.go,
 * defer.go and evict.go. publish.pml and shutdown.pml include it.
 *
 * A step of the model is one access to what is shared without a lock: the
 * channel of the processor that waits, state, halfAt, a position, attention.
 * What queue.mu guards is one step, from lock to unlock: it is held for a few
 * steps that wait for nobody. What lineMu guards changes in the same step as the
 * access before or after it, since nobody else may look at it meanwhile. All
 * atomics of Go are sequentially consistent, as all variables are here.
 *
 * OBSERVED adds the counts that Flush and Shutdown compare.
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
#define HALF(q)	((CAP(q) + 1) / 2)	/* queue.half */

#ifndef CHUNK
#define CHUNK 2			/* chunkSize */
#endif

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

/* TRY: the last publisher never waits. DROP_OLDEST: queue 0 drops the oldest. */
#ifdef TRY
#define TRIES(me)	((me) == NW - 1)
#else
#define TRIES(me)	false
#endif
#ifdef DROP_OLDEST
#define DROPS_OLDEST(q)	((q) == 0)	/* queue.evicts */
chan bell = [1] of { bit };	/* queue.bell of queue 0 */
#else
#define DROPS_OLDEST(q)	false
#endif

/*
 * The events in the channel's chunks, one after the other. All chunks but the
 * last are full, so that the first holds CHUNK events or, if they are fewer,
 * all; and the last takes further ones if they are no multiple of CHUNK.
 */
chan ch0 = [CAP0] of { byte };
chan ch1 = [CAP1] of { byte };
chan ch2 = [CAP2] of { byte };
chan ch[NP];			/* queue.ch */
chan open[NP] = [CHUNK] of { byte };	/* queue.chunk from queue.at on, or what idle has received */
bool received[NP];		/* idle has received that chunk and has not opened it */
byte takesMore[NP];		/* how many further events it takes: it is queue.last unless this is 0 */
byte state[NP];			/* queue.state */
byte toHalf[NP];		/* queue.halfAt, as the number of events still to be begun */

#ifdef ACCEPT_IN_STEPS
bool queueMu[NP];		/* queue.mu, which accept holds for more than a step */
#define muFree(q)	(!queueMu[q])
#else
#define muFree(q)	true
#endif

bool lineMu;			/* guards the rest */
chan deferred[NP] = [MAXDEFERRED] of { byte };	/* line.deferred */
chan parked[NP] = [NP] of { byte };		/* line.parked, whose handlers */
chan outside[NP] = [NPUB] of { byte };		/* line.outside, which publishers */
bool rush[NP];			/* line.rush */
byte parkedOn[NP] = NONE;	/* processor.parkedOn */
byte wEvent[NW];		/* waiter.event; nobody has more than one waiter */
bool inLine[NW];		/* waiter.inLine */
byte since[NP];			/* not 0: noteLocked has read the position; 1 more for each event begun since */
byte done[NW];			/* waiter.done, 0 while empty */

/* empty() and its kin may not stand beside else */
#define none(c)	(len(c) == 0)
#define some(c)	(len(c) > 0)
#define lineEmpty(q)	(none(deferred[q]) && none(parked[q]) && none(outside[q]))

/*
 * How many events take up capacity. In the code it is a difference of counts:
 * accepted less those in line, less those begun and evicted. An event that the
 * processor has taken counts until it is begun, and here it takes and begins it
 * in one step. In a queue with DropOldest it counts no longer once it is taken.
 */
#ifdef MUT_OPEN_DOES_NOT_COUNT
#define inQueue(q)	len(ch[q])
#else
#define inQueue(q)	(len(ch[q]) + len(open[q]))
#endif
#define hasRoom(q)	(inQueue(q) < CAP(q))	/* queue.roomLocked is not 0 */
#define halfFree(q)	(inQueue(q) + HALF(q) <= CAP(q))	/* queue.room is at least queue.half */

#ifdef OBSERVED
byte accepted[NP];		/* queue.accepted */
byte evicted[NP];		/* queue.evicted */
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
#define LOCALS	byte st, g, w, res, on, by, hops, left; bool ok, half, broken, defers, leads, waiting

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

/* The chunks that are not spare: those in the channel, the one that the
 * processor has, and, until it has opened that one, the one it had before. */
#define chunksIn(q)	((len(ch[q]) + CHUNK - 1) / CHUNK)
#define chunksOut(q)	(1 + received[q])

/* push: queue.pushLocked. The send never waits, and there is a spare chunk. */
inline push(q, e) {
	if
	:: takesMore[q] > 0 -> open[q]!e; takesMore[q]--
	:: else ->
		if
		:: len(ch[q]) % CHUNK == 0 ->
			assert(chunksIn(q) < (CAP(q) - 1) / CHUNK + 1);
			assert(chunksIn(q) + chunksOut(q) < (CAP(q) - 1) / CHUNK + 2);
			ring(q)
		:: else
		fi;
		ch[q]!e
	fi;
	assert(len(ch[q]) + len(open[q]) <= CAP(q))
}

/* ring: queue.ring */
inline ring(q) {
#if defined(DROP_OLDEST) && !defined(MUT_NO_BELL)
	if
	:: DROPS_OLDEST(q) && len(bell) == 0 -> bell!1
	:: else
	fi
#else
	skip
#endif
}

/* count: queue.count, and what pushes an event */
inline count(q, n) {
#ifdef OBSERVED
	accepted[q] = accepted[q] + n
#else
	skip
#endif
}

/* takeChunk takes the first chunk out of the channel. It is still the last one
 * if it is not full, until it is opened. */
inline takeChunk(q) {
	assert(none(open[q]));
	do
	:: some(ch[q]) && len(open[q]) < CHUNK -> ch[q]?g; open[q]!g
	:: else -> break
	od;
	g = 0;
	takesMore[q] = CHUNK - len(open[q])
}

/* openChunk: queue.openChunkLocked, which seals */
inline openChunk(q) {
#ifndef MUT_NOT_SEALED
	takesMore[q] = 0
#else
	skip
#endif
}

/* insert: queue.insert. n is 0 for an event that is accepted already. */
inline insert(q, e, n) {
	atomic {
		muFree(q);
		if
		:: hasRoom(q) -> count(q, n); push(q, e); ok = true
		:: else -> ok = false
		fi
	}
}

/* offer: queue.offer */
inline offer(q, e) { insert(q, e, 1) }

/*
 * note: queue.noteLocked. It reads the position, then under mu how much room
 * there is, and stores halfAt, then state. Go evaluates the two in this order.
 */
inline note(q) {
	if
	:: d_step { lineEmpty(q) -> storeState(q) }
	:: d_step { !lineEmpty(q) -> since[q] = 1 }; noteRest(q)
	fi
}
inline noteRest(q) {
	atomic { muFree(q) -> readRoom(q) };
#ifdef MUT_ROOM_FIRST
	since[q] = 1;
#endif
	d_step { storeHalfAt(q) };
	d_step { storeState(q) }
}
#ifdef MUT_HALF_TOO_HIGH
#define HALF_SLIP 1
#else
#define HALF_SLIP 0
#endif
inline readRoom(q) {
	left = HALF_SLIP + (halfFree(q) -> 0 : inQueue(q) + HALF(q) - CAP(q))
}
inline storeHalfAt(q) {
	toHalf[q] = (left + 1 > since[q] -> left + 1 - since[q] : 0);
	since[q] = 0; left = 0
}
inline storeState(q) {
	if
	:: none(parked[q]) -> rush[q] = false
	:: else
	fi;
	state[q] = (state[q] & (CLOSING | CLOSED)) | (lineEmpty(q) -> 0 : LINED) |
		((some(deferred[q]) || rush[q]) -> URGENT : 0)
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
		:: isHandler(w) && hasRoom(q) -> ok = false; d_step { f?w; settle(w, RETRY) }
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
		atomic { muFree(q) -> half = eager || halfFree(q) };
#ifdef MUT_PARKED_FIRST
		if
		:: half || rush[q] -> admitFrom(q, parked[q])
		:: else
		fi;
#endif
		do
		:: none(deferred[q]) -> break
		:: else ->
			atomic {
				deferred[q]?<w>;
				insert(q, w, 0);
				w = 0;
				if
				:: ok -> deferred[q]?_; ok = false
				:: else -> break
				fi
			}
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

/* admit: queue.admit and admitSlow, by the processor when a slot has come free */
inline admit(q) {
	st = state[q];
	if
	:: !(st & LINED)
	:: (st & LINED) && !(st & URGENT) && toHalf[q] > 0
	:: (st & LINED) && ((st & URGENT) || toHalf[q] == 0) ->
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

/* deferLocked: queue.deferLocked */
inline deferLocked(q, e) {
	if
	:: mayDefer(q) ->
		atomic {
			muFree(q);
			count(q, 1);
			deferred[q]!e;
			assert(len(deferred[q]) <= CAP(q) + stops * (NP - 1));
			res = ACCEPTED
		};
		note(q)
	:: else -> res = FULL
	fi
}

/* evict: queue.evictForLocked, and evictOldest */
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
		atomic {
			muFree(q);
			if
			:: none(open[q]) && some(ch[q]) -> takeChunk(q); openChunk(q)
			:: else
			fi;
			if
			:: none(open[q])
			:: some(open[q]) ->
				open[q]?w; ghostOut(q, w);
#ifdef OBSERVED
				evicted[q]++;
#endif
#ifdef FLUSHES
				undone[ORIGIN(w)]--;
#endif
				w = 0
			fi
		}
	od
}

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

/*
 * accept: queue.accept. That mu is held does not keep state from changing, which
 * lineMu guards; with ACCEPT_IN_STEPS it is held while that may happen.
 */
#ifdef MUT_BARGE
#define shut(q, me)	(state[q] & (isHandler(me) -> LINED | CLOSING | CLOSED : CLOSING | CLOSED))
#else
#define shut(q, me)	state[q]
#endif
inline accept(q, e, me) {
#if defined(ACCEPT_IN_STEPS)
	atomic { ghostPublish(q, e); muFree(q) -> queueMu[q] = true; st = shut(q, me) };
	atomic { acceptLocked(q, e); queueMu[q] = false }
#elif defined(MUT_STATE_BEFORE_MU)
	atomic { ghostPublish(q, e); st = shut(q, me) };
	atomic { muFree(q) -> acceptLocked(q, e) }
#else
	atomic { ghostPublish(q, e); muFree(q) -> st = shut(q, me); acceptLocked(q, e) }
#endif
}
inline acceptLocked(q, e) {
	if
	:: st == 0 && inQueue(q) + len(deferred[q]) < CAP(q) ->
		count(q, 1);
		push(q, e);
		ok = true
	:: else -> ok = false
	fi;
	st = 0
}

/* publish: Bus.publish and queue.publishSlow, by me */
inline publish(q, e, me) {
	accept(q, e, me);
	if
	:: ok -> ok = false; res = ACCEPTED
	:: else ->
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
	d_step {
		wEvent[me] = e; inLine[me] = true; done[me] = 0; waiting = true;
		if
		:: isHandler(me) -> parkedOn[me] = q; parked[q]!me
		:: else -> outside[q]!me
		fi;
		since[q] = 1
	};
	noteRest(q)
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

/*
 * The queues and what a publish does: bus_publish.go, bus_wait.go, queue_overflow.go,
 * queue_admission.go, queue_deadlock.go, queue_waiting.go, queue_entry.go and internal/buffer.
 * publish.pml and shutdown.pml include it.
 *
 * A step of the model is one access to what is shared without a lock: the channel
 * of the processor that waits, the gate, lowWaterAt, the cursor, a completion. What
 * the buffer's lock guards is one step, from lock to unlock: it is held for a few
 * steps that wait for nobody. What admissionMu guards changes in the same step as
 * the access before or after it, since nobody else may look at it meanwhile. All
 * atomics of Go are sequentially consistent, as all variables are here.
 *
 * COARSE makes one step of all that admitLocked does, and one of noteLocked.
 * OBSERVED adds the counts that Flush and Shutdown compare.
 */

#ifndef NP
#define NP 2			/* processors; number q drains queue q */
#endif
#ifndef NPUB
#define NPUB 2			/* publishers from outside */
#endif
#define NW	(NP + NPUB)	/* who publishes: handlers, by their processor, then those from outside */
#define isHandler(who)	((who) < NP)
#define NONE	7

/* TWO_BUSES: queue 1 and its processor are another bus's. */
#ifdef TWO_BUSES
#define BUS(q)	((q) == 1)
#else
#define BUS(q)	0
#endif
#define ofBus(who, q)	(isHandler(who) && BUS(who) == BUS(q))

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
#define LOW(q)	((CAP(q) + 1) / 2)	/* queue.lowWater */
#define SPILL(q)	(2 * CAP(q) + 3)	/* queue.spillLimit */
#ifndef MAXFIRST
#define MAXFIRST 6		/* the first list is never longer in these runs */
#endif

#ifndef CHUNK
#define CHUNK 2			/* chunkSize */
#endif

/* An event says who published it, from which event from outside it came, and
 * how many handlers were in between. No two are equal. */
#define EV(who, origin, gen)	((who) | ((origin) << 3) | ((gen) << 6))
#define WHO(e)		((e) & 7)
#define ORIGIN(e)	(((e) >> 3) & 7)
#define GEN(e)		((e) >> 6)
/* An entry of the first list is a deferred event, or says who waits. */
#define WAITER(who)	EV(NONE, who, 0)
#define isWaiter(x)	(WHO(x) == NONE)

/* What becomes of an event that PublishWait waits for. */
mtype = { absent, waiting, unwatched, begun, handled, withdrawn, refused, evicted };

/* AWAITS: the handlers of one processor, or all of them, call PublishWait. */
#ifdef AWAITS
#if AWAITS == 9
#define awaits(who)	isHandler(who)
#else
#define awaits(who)	((who) == AWAITS)
#endif
#define isOver(c)	((c) == handled || (c) == withdrawn || (c) == refused || (c) == evicted)
#define compOf(e)	completion[WHO(e) * 8 + ORIGIN(e)]
mtype completion[NW * 8] = absent;	/* completion.state, with the outcome */
bool in[NW];			/* completion.in */
#else
#define awaits(who)	false
#endif

#define LINED	1		/* the bits of Buffer.Gate */
#define URGENT	2
#define CLOSING	4
#define CLOSED	8

#define ACCEPTED 1		/* what a publish comes to */
#define REFUSED	2		/* ErrClosed */
#define FULL	3		/* ErrQueueFull, since as many events are deferred as may be */
#define GONE	4		/* the context ended, the time was up, or it never waits */
#define NOWAIT	5		/* PublishWait must not wait, or its event was withdrawn */
#define RETRY	6		/* only with MUT_WAKE_ONLY */

/* TRY: the last publisher never waits. DROP_OLDEST: queue 0 drops the oldest. */
#ifdef TRY
#define TRIES(me)	((me) == NW - 1)
#else
#define TRIES(me)	false
#endif
#ifdef DROP_OLDEST
#define DROPS_OLDEST(q)	((q) == 0)	/* Config.Evicts */
chan bell = [1] of { bit };	/* the door of queue 0 */
#else
#define DROPS_OLDEST(q)	false
#endif

/*
 * The events in the channel's chunks, one after the other. All chunks but the
 * last are full, so that the first holds CHUNK events or, if they are fewer,
 * all; and the last takes further ones if they are no multiple of CHUNK. Withdrawn
 * events may take as many places again as the capacity.
 */
#ifdef AWAITS
#define PLACES 2
#else
#define PLACES 1
#endif
chan ch0 = [PLACES * CAP0] of { byte };
chan ch1 = [PLACES * CAP1] of { byte };
chan ch2 = [PLACES * CAP2] of { byte };
chan ch[NP];			/* Buffer.ch */
chan open[NP] = [CHUNK] of { byte };	/* Buffer.open from Buffer.at on, or what idle has taken */
bool received[NP];		/* Buffer.taken: idle has taken that chunk, and it is not opened */
byte takesMore[NP];		/* how many further events it takes: it is Buffer.last unless this is 0 */
byte gate[NP];			/* Buffer.Gate */
byte toLow[NP];			/* queue.lowWaterAt, as the number of events still to be begun */
byte dead[NP];			/* places of withdrawn events in chunks */

#ifdef ACCEPT_IN_STEPS
bool bufferMu[NP];		/* the buffer's lock, which Add holds for more than a step */
#define muFree(q)	(!bufferMu[q])
#else
#define muFree(q)	true
#endif

bool admissionMu;		/* guards the rest */
typedef admission {
	byte first[MAXFIRST];	/* the first list, in the order of the tickets */
	byte n;			/* how long it is */
	byte deferred;		/* how many of it are deferred events */
	byte handover;
	bool rush;
	bool idle		/* nobody drains the queue */
}
admission adm[NP];
chan publishers[NP] = [NPUB] of { byte };	/* the second list */
byte edge[NP] = NONE;		/* drainer.edge: on which queue its handler waits */
byte wEvent[NW];		/* waiting.pub; nobody has more than one */
bool inLine[NW];		/* waiting.inLine */
byte passed[NP];		/* waiting.passed, of handlers */
byte since[NP];			/* not 0: noteLocked has read the site; 1 more for each event begun since */
byte done[NW];			/* waiting.done, 0 while empty */

/* empty() and its kin may not stand beside else */
#define none(c)	(len(c) == 0)
#define some(c)	(len(c) > 0)
#define handlersWait(q)	(adm[q].n > adm[q].deferred)
#define lineEmpty(q)	(adm[q].n == 0 && none(publishers[q]))
#define aheadOf(me, q)	(adm[q].n > 0 || !isHandler(me) && some(publishers[q]))

/*
 * How many places are taken. In the code it is a difference of counts: accepted
 * less those in line, less those begun and evicted. An event that the
 * processor has taken counts until it is begun, and here it takes and begins it
 * in one step. In a queue with DropOldest it counts no longer once it is taken.
 */
#ifdef MUT_OPEN_DOES_NOT_COUNT
#define places(q)	len(ch[q])
#else
#define places(q)	(len(ch[q]) + len(open[q]))
#endif
/* roomLocked: what dead events take is room, up to the capacity */
#define full(q)	(places(q) - (dead[q] < CAP(q) -> dead[q] : CAP(q)))
#define hasRoom(q)	(full(q) < CAP(q))
#define lowFree(q)	(full(q) + LOW(q) <= CAP(q))

#ifdef OBSERVED
byte accepted[NP];		/* the accounts */
byte nEvicted[NP];
byte nWithdrawn[NP];
byte observers;			/* Bus.observers */
bool looks[2];			/* observer o holds a channel from next */
bool notified[2];		/* and it is closed */
#endif
#ifdef LIFE
bool running = true;		/* Bus.running */
#endif
#ifdef SHUTS_DOWN
byte nRefused;			/* admission.refused, of all queues */
byte refusedToHandlers;		/* ghost: the same, counted where the publish ends */
bool returnedNil;		/* ghost */
#endif

/*
 * Ghosts, which the checks need and the code has not. flight holds, for each
 * publisher and queue and in order, what has been published and neither begun
 * nor evicted, withdrawn, handed back or refused. What is lost stays there; what
 * comes twice, too early or after a refusal is not at its front.
 */
#ifndef FLIGHT
#define FLIGHT 4
#endif
chan flight[NW * NP] = [FLIGHT] of { byte };
#define flightOf(e, q)	flight[WHO(e) * NP + (q)]

/* DRIFT: how many more events than the capacity are deferred at most. */
#ifndef DRIFT
#define DRIFT	0
#endif
#ifdef LIFE
bool endBegun;	/* a handler's publish may be refused */
#else
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
#define LOCALS	byte st, g, w, res, on, on_, by, hops, left, x; bool ok, low, broken, must, leads, waits

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

/* push: Buffer.pushLocked. The send never waits, and there is a spare chunk. */
inline push(q, e) {
#ifdef AWAITS
	in[WHO(e)] = awaits(WHO(e));
#endif
	if
	:: takesMore[q] > 0 -> open[q]!e; takesMore[q]--
	:: else ->
		if
		:: len(ch[q]) % CHUNK == 0 ->
#ifndef AWAITS
			assert(chunksIn(q) < (CAP(q) - 1) / CHUNK + 1);
			assert(chunksIn(q) + chunksOut(q) < (CAP(q) - 1) / CHUNK + 2);
#else
			assert(chunksIn(q) < 2 * ((CAP(q) - 1) / CHUNK) + 2);
#endif
			ring(q)
		:: else
		fi;
		ch[q]!e
	fi;
	assert(len(ch[q]) + len(open[q]) - dead[q] <= CAP(q))
}

/* ring: Buffer.ringLocked */
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

/* openChunk: Buffer.openNextLocked */
inline openChunk(q) {
#ifndef MUT_NOT_SEALED
	takesMore[q] = 0
#else
	skip
#endif
}

/* insert: Buffer.Push and, with n 0, PromoteFirst, of an event that is accepted
 * already. Place says to the completion that the event is in. */
inline insert(q, e, n) {
	atomic {
		muFree(q);
		if
		:: hasRoom(q) -> count(q, n); push(q, e); ok = true
		:: else -> ok = false
		fi
	}
}

/* note: queue.noteLocked. It reads the site, then under the buffer's lock how much
 * room there is, and stores lowWaterAt, then the gate. */
inline note(q) {
#ifdef COARSE
	d_step { since[q] = 1; readRoom(q); storeLowWaterAt(q); storeGate(q) }
#else
	if
	:: d_step { lineEmpty(q) -> storeGate(q) }
	:: d_step { !lineEmpty(q) -> since[q] = 1 }; noteRest(q)
	fi
#endif
}
inline noteRest(q) {
#ifdef COARSE
	d_step { readRoom(q); storeLowWaterAt(q); storeGate(q) }
#else
	atomic { muFree(q) -> readRoom(q) };
#ifdef MUT_ROOM_FIRST
	since[q] = 1;
#endif
	d_step { storeLowWaterAt(q) };
	d_step { storeGate(q) }
#endif
}
#ifdef MUT_LOW_TOO_HIGH
#define LOW_SLIP 1
#else
#define LOW_SLIP 0
#endif
inline readRoom(q) {
	left = LOW_SLIP + (lowFree(q) -> 0 : full(q) + LOW(q) - CAP(q))
}
inline storeLowWaterAt(q) {
	toLow[q] = (left + 1 > since[q] -> left + 1 - since[q] : 0);
	since[q] = 0; left = 0
}
inline storeGate(q) {
	if
	:: !handlersWait(q) -> adm[q].rush = false
	:: else
	fi;
	if
	:: lineEmpty(q) -> adm[q].handover = 0
	:: else
	fi;
	gate[q] = (gate[q] & (CLOSING | CLOSED)) | (lineEmpty(q) -> 0 : LINED) |
		((adm[q].deferred > 0 || adm[q].rush || adm[q].handover > 0) -> URGENT : 0)
}

/* settle: waiting.settleLocked. Who waits until its event is handled keeps its edge. */
inline settle(who, outcome) {
	d_step {
		inLine[who] = false;
#ifndef MUT_EDGE_LATE
		if
		:: isHandler(who) && !((outcome) == ACCEPTED && awaits(who)) -> edge[who] = NONE
		:: else
		fi;
#endif
		if
		:: isHandler(who) -> passed[who] = 0
		:: else
		fi;
		done[who] = outcome
	}
}

/* takeOut takes the entry at x out of the first list. */
inline takeOut(q) {
	do
	:: x + 1 < adm[q].n -> adm[q].first[x] = adm[q].first[x + 1]; x++
	:: else -> break
	od;
	adm[q].n--;
	adm[q].first[adm[q].n] = 0;
	x = 0
}
/* find sets x to the place of who in the first list. */
inline find(q, who) {
	x = 0;
	do
	:: x < adm[q].n && adm[q].first[x] != WAITER(who) -> x++
	:: else -> break
	od
}

inline countHandover(q) {
	if
	:: adm[q].handover > 0 -> adm[q].handover--
	:: else
	fi
}

/* letInFirst: queue.letInFirstLocked and letInLocked */
inline letInFirst(q) {
	atomic {
		muFree(q);
		x = 0;
#ifdef MUT_WAITING_FIRST
		do
		:: x + 1 < adm[q].n && !isWaiter(adm[q].first[x]) -> x++
		:: else -> break
		od;
		if
		:: isWaiter(adm[q].first[x])
		:: else -> x = 0
		fi;
#endif
		w = adm[q].first[x];
		if
		:: !hasRoom(q) -> ok = false
#ifdef MUT_WAKE_ONLY
		:: hasRoom(q) && isWaiter(w) -> ok = false; takeOut(q); settle(ORIGIN(w), RETRY)
#else
		:: hasRoom(q) && isWaiter(w) -> takeOut(q); count(q, 1); push(q, wEvent[ORIGIN(w)]); settle(ORIGIN(w), ACCEPTED); ok = true
#endif
		:: hasRoom(q) && !isWaiter(w) -> takeOut(q); adm[q].deferred--; push(q, w); ok = true
		fi;
		if
		:: ok -> countHandover(q)
		:: else
		fi;
		w = 0; x = 0
	}
}
inline letInPublisher(q) {
	atomic {
		muFree(q);
		if
		:: hasRoom(q) ->
			publishers[q]?w;
			count(q, 1); push(q, wEvent[w]); settle(w, ACCEPTED); w = 0; ok = true;
			countHandover(q)
		:: else -> ok = false
		fi
	}
}

/* admitLocked: queue.admitLocked */
#define firstGoes(q)	(adm[q].n > 0 && (low || adm[q].handover > 0 || adm[q].deferred > 0 || adm[q].rush))
#define publisherGoes(q)	(adm[q].n == 0 && some(publishers[q]) && (low || adm[q].handover > 0))
#ifdef COARSE
inline admitLocked(q, eager) { atomic { admitAll(q, eager) } }
#else
inline admitLocked(q, eager) { admitAll(q, eager) }
#endif
inline admitAll(q, eager) {
	if
	:: (gate[q] & CLOSED) || lineEmpty(q) && !(gate[q] & LINED)
	:: else ->
		atomic { muFree(q) -> low = (eager) || adm[q].idle || lowFree(q) };
		do
		:: firstGoes(q) ->
			letInFirst(q);
			if
			:: ok -> ok = false
			:: else -> break
			fi
		:: else -> break
		od;
		do
		:: publisherGoes(q) ->
			letInPublisher(q);
			if
			:: ok -> ok = false
			:: else -> break
			fi
		:: else -> break
		od;
		low = false;
		note(q)
	fi
}

/* admit: queue.admit and lookAtLine, by the processor when it has begun an event */
inline admit(q) {
	st = gate[q];
	if
	:: !(st & LINED)
	:: (st & LINED) && !(st & URGENT) && toLow[q] > 0
	:: (st & LINED) && ((st & URGENT) || toLow[q] == 0) ->
		lock(admissionMu);
		admitLocked(q, false);
		unlock(admissionMu)
	fi;
	st = 0
}

/* edgeOf: drainer.edgeLocked */
#ifdef AWAITS
#define edgeOf(p)	((edge[p] != NONE && awaits(p) && wEvent[p] != 0 && isOver(compOf(wEvent[p]))) -> NONE : edge[p])
#else
#define edgeOf(p)	edge[p]
#endif

/* reach: queue.reachLocked. hops is there for mutations that let the graph have
 * cycles. */
inline reach(q, me) {
	d_step {
		on = q; hops = 0; leads = false;
		do
		:: on == NONE || hops > NP -> break
		:: on == me -> leads = true; break
		:: else -> on = edgeOf(on); hops++
		od;
		on = 0; hops = 0
	}
}

#ifndef PASSES
#define PASSES(q)	CAP(q)
#endif
/* moveUp: queue.moveUpLocked */
inline moveUp(q, who) {
	d_step {
		find(q, who);
		do
		:: x == 0 -> break
		:: else ->
#ifdef MUT_PAST_DEFERRED
			if
			:: !isWaiter(adm[q].first[x - 1])
#else
			if
			:: !isWaiter(adm[q].first[x - 1]) -> break
#endif
#ifndef MUT_NO_BOUND
			:: isWaiter(adm[q].first[x - 1]) && passed[ORIGIN(adm[q].first[x - 1])] >= PASSES(q) -> break
			:: isWaiter(adm[q].first[x - 1]) && passed[ORIGIN(adm[q].first[x - 1])] < PASSES(q) -> passed[ORIGIN(adm[q].first[x - 1])]++
#else
			:: isWaiter(adm[q].first[x - 1]) -> passed[ORIGIN(adm[q].first[x - 1])]++;
				assert(passed[ORIGIN(adm[q].first[x - 1])] <= PASSES(q))
#endif
			fi;
			adm[q].first[x] = adm[q].first[x - 1];
			adm[q].first[x - 1] = WAITER(who);
			x--
		od;
		x = 0
	}
}

/* hasten: hastenLocked */
inline hasten(q, me) {
	on = q; broken = false;
	do
	:: on == me || on == NONE -> break
	:: else ->
		by = on;
		on = edge[by];
		if
		:: on != NONE && inLine[by] ->
			adm[on].rush = true;
			moveUp(on, by);
			admitLocked(on, false);
			broken = broken || !inLine[by]
		:: else
		fi
	od;
	on = 0; by = 0
}

/* mustNotWait: queue.mustNotWaitLocked */
inline mustNotWait(q, me) {
	atomic { assert(edgeOf(me) == NONE); reach(q, me) };
	do
	:: !leads -> must = adm[q].idle; break
	:: else ->
		hasten(q, me);
		if
		:: !broken -> must = true; break
		:: else -> broken = false; reach(q, me)
		fi
	od;
	leads = false; broken = false
#ifdef MUT_ALWAYS_WAIT
	;
	must = false
#endif
}

/* What may still be deferred. */
#ifdef MUT_BOUND_AT_CAPACITY
#define mayDefer(q)	(adm[q].deferred < CAP(q))
#else
#define mayDefer(q)	(adm[q].deferred < SPILL(q))
#endif

/* deferLocked: Buffer.Defer, and the bound before it */
inline postpone(q, e) {
	atomic {
		muFree(q);
		if
		:: mayDefer(q) ->
			count(q, 1);
			adm[q].first[adm[q].n] = e;
			adm[q].n++; adm[q].deferred++;
			assert(adm[q].deferred <= CAP(q) + DRIFT);
			res = ACCEPTED
		:: else -> res = FULL
		fi
	};
	note(q)
}

/* evict: Buffer.EvictFor */
inline evict(q, e) {
	atomic {
		muFree(q);
		if
		:: hasRoom(q)
		:: else ->
			if
			:: none(open[q]) && some(ch[q]) -> takeChunk(q); openChunk(q)
			:: else
			fi;
			open[q]?w; ghostOut(q, w);
#ifdef OBSERVED
			nEvicted[q]++;
#endif
#ifdef FLUSHES
			undone[ORIGIN(w)]--;
#endif
			w = 0
		fi;
		count(q, 1); push(q, e)
	}
}

/* Whom closing keeps out. */
#ifdef MUT_REFUSE_HANDLERS
#define closedTo(me, q)	true
#else
#define closedTo(me, q)	(!ofBus(me, q))
#endif
/* LEAVE: any wait may end by itself, at its timeout or with its context. */
#ifdef LEAVE
#define LEAVES(me)	true
#else
#define LEAVES(me)	false
#endif

/*
 * add: Buffer.Add. That the buffer's lock is held does not keep the gate from
 * changing, which admissionMu guards; with ACCEPT_IN_STEPS it is held while that
 * may happen.
 */
#ifdef MUT_BARGE
#define shut(q, me)	(gate[q] & (isHandler(me) -> LINED | CLOSING | CLOSED : CLOSING | CLOSED))
#else
#define shut(q, me)	gate[q]
#endif
inline add(q, e, me) {
#if defined(ACCEPT_IN_STEPS)
	atomic { ghostPublish(q, e); muFree(q) -> bufferMu[q] = true; st = shut(q, me) };
	atomic { addLocked(q, e); bufferMu[q] = false }
#elif defined(MUT_GATE_BEFORE_LOCK)
	atomic { ghostPublish(q, e); st = shut(q, me) };
	atomic { muFree(q) -> addLocked(q, e) }
#else
	atomic { ghostPublish(q, e); muFree(q) -> st = shut(q, me); addLocked(q, e) }
#endif
}
inline addLocked(q, e) {
	if
	:: st == 0 && hasRoom(q) ->
		count(q, 1);
		push(q, e);
		ok = true
	:: else -> ok = false
	fi;
	st = 0
}

/* publish: Bus.publish and carryOut, and publishWait, by me */
inline publish(q, e, me) {
#ifdef AWAITS
	if
	:: awaits(me) -> d_step { ghostPublish(q, e); compOf(e) = waiting; wEvent[me] = e; ok = false }
	:: else -> add(q, e, me)
	fi;
#else
	add(q, e, me);
#endif
	if
	:: ok -> ok = false; res = ACCEPTED
	:: else ->
#ifdef MUT_WAKE_ONLY
again:
#endif
		carryOut(q, e, me);
		if
		:: waits -> await(q, me)
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
#ifdef AWAITS
	;
	if
	:: awaits(me) -> awaitOutcome(q, e, me)
	:: else
	fi
#endif
#ifdef SHUTS_DOWN
	;
	if
	:: res == REFUSED && ofBus(me, q) -> refusedToHandlers++; assert(!returnedNil)
	:: else
	fi
#endif
}

/* carryOut: queue.carryOutLocked, with judgeLocked, decide and enforceLocked */
inline carryOut(q, e, me) {
	lock(admissionMu);
	admitLocked(q, TRIES(me) || DROPS_OLDEST(q));
	must = false;
#ifdef AWAITS
	if
	:: awaits(me) ->				/* queue.beginAwaitLocked */
		mustNotWait(q, me);
		if
		:: must
		:: else -> edge[me] = q
		fi
	:: else
	fi;
#endif
	if
	:: (gate[q] & CLOSED) || (gate[q] & CLOSING) && closedTo(me, q) ->
		res = REFUSED; noteRefused(q, me)
	:: else ->
		if
		:: awaits(me) && must -> res = NOWAIT
		:: else ->
			tryIn(q, e, me);
			if
			:: ok -> ok = false; res = ACCEPTED
			:: else ->
				if
				:: TRIES(me) -> res = GONE
				:: !TRIES(me) && DROPS_OLDEST(q) -> evict(q, e); res = ACCEPTED
				:: else ->
					if
					:: isHandler(me) && !awaits(me) -> mustNotWait(q, me)
					:: else
					fi;
					if
					:: must ->
						admitLocked(q, true);
						tryIn(q, e, me);
						if
						:: ok -> ok = false; res = ACCEPTED
						:: else -> postpone(q, e)
						fi
					:: else -> joinLocked(q, e, me);
#ifndef MUT_NO_LOOK_AGAIN
						admitLocked(q, false)
#endif
					fi
				fi
			fi
		fi
	fi;
	must = false;
	unlock(admissionMu)
}
/* tryIn: the row of the law for an event that finds room with nobody ahead */
inline tryIn(q, e, me) {
	if
#ifdef MUT_BARGE
	:: !aheadOf(me, q) || !isHandler(me) -> insert(q, e, 1)
#else
	:: !aheadOf(me, q) -> insert(q, e, 1)
#endif
	:: else -> ok = false
	fi
}
/* noteRefused: queue.noteRefusedLocked */
inline noteRefused(q, me) {
#if defined(SHUTS_DOWN) && !defined(MUT_REFUSED_UNCOUNTED)
	if
	:: ofBus(me, q) -> nRefused++
	:: else
	fi
#else
	skip
#endif
}

/* joinLocked: queue.joinLocked */
inline joinLocked(q, e, me) {
	d_step {
		wEvent[me] = e; inLine[me] = true; done[me] = 0; waits = true;
		if
		:: isHandler(me) -> edge[me] = q; adm[q].first[adm[q].n] = WAITER(me); adm[q].n++
		:: else -> publishers[q]!me
		fi;
		since[q] = 1
	};
	noteRest(q)
}

/* removeFromLine: what queue.removeLocked does before waiting.settleLocked */
inline removeFromLine(q, me) {
	if
	:: isHandler(me) -> find(q, me); takeOut(q)
	:: else -> publishers[q]??eval(me)
	fi
}

/* await: queue.await and leave. HANDOVER: a wait may last for longer than
 * handoverAfter, which one then notices at any moment. */
inline await(q, me) {
#ifdef HANDOVER
	if
	:: done[me] != 0
	:: true ->		/* queue.handOver */
		lock(admissionMu);
		adm[q].handover = adm[q].n + len(publishers[q]);
		admitLocked(q, false);
		unlock(admissionMu)
	:: true
	fi;
#endif
	if
	:: done[me] != 0
	:: LEAVES(me) ->		/* queue.leave */
		lock(admissionMu);
		if
		:: inLine[me] -> admitLocked(q, true)
		:: else
		fi;
		if
		:: !inLine[me]
		:: else ->
			d_step { removeFromLine(q, me) };
			settle(me, GONE);
			note(q)
		fi;
		unlock(admissionMu)
	fi;
#ifdef MUT_EDGE_LATE
	if
	:: isHandler(me) -> lock(admissionMu); edge[me] = NONE; unlock(admissionMu)
	:: else
	fi;
#endif
	d_step {
		res = done[me]; done[me] = 0; waits = false;
		wEvent[me] = (awaits(me) -> wEvent[me] : 0)
	}
}

#ifdef AWAITS
/* awaitOutcome: completion.await, unwatch, and queue.endAwait. Nobody calls a
 * handler for an event of which PublishWait says so: flight has it no more. */
inline awaitOutcome(q, e, me) {
	if
	:: res != ACCEPTED
	:: else ->
		if
		:: isOver(compOf(e))
#ifdef UNWATCHES
		:: d_step { compOf(e) == waiting -> compOf(e) = unwatched }
		:: compOf(e) == begun
#endif
		fi;
		if
		:: compOf(e) == withdrawn || compOf(e) == evicted -> res = NOWAIT
		:: compOf(e) == refused -> res = REFUSED
		:: else
		fi
	fi;
	lock(admissionMu);
	d_step {
		edge[me] = NONE; wEvent[me] = 0;
		compOf(e) = (in[me] -> compOf(e) : absent);
		in[me] = false
	};
	unlock(admissionMu)
}

/* withdraw: queue.withdrawLocked, for the event that who waits for: Buffer.Withdraw
 * and completion.revoke */
inline withdraw(q, who, outcome) {
	if
	:: edge[who] == q && in[who] ->
#ifdef MUT_WITHDRAW_WITHOUT_CAS
		if
		:: compOf(wEvent[who]) == waiting -> atomic { muFree(q) -> takeBack(q, who, outcome) }
		:: else
		fi
#else
		atomic {
			muFree(q);
			if
			:: compOf(wEvent[who]) == waiting -> takeBack(q, who, outcome)
			:: else
			fi
		}
#endif
	:: else
	fi
}
inline takeBack(q, who, outcome) {
	w = wEvent[who];
	compOf(w) = outcome;
	ghostRefused(q, w);
#if defined(SHUTS_DOWN) && !defined(MUT_WITHDRAWN_UNCOUNTED)
	if
	:: (outcome) == refused -> noteRefused(q, who)
	:: else
	fi;
#endif
#ifdef OBSERVED
	nWithdrawn[q]++;
#endif
	if
	:: ch[q]??[eval(w)] || open[q]??[eval(w)] -> dead[q]++
	:: else
	fi;
	w = 0
}
#endif

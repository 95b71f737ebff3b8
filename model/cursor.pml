/*
 * The cursor: one word for each queue, how many events are begun, whether the
 * processor is busy with the last of them, and the held bit. One processor with one
 * or two queues, which is stopped, started, paused, resumed and killed at any
 * moment: internal/buffer/consumer.go, processor.go, processor_loop.go,
 * processor_turn.go, bus_lifecycle.go, and the end of a Shutdown.
 *
 * A step is one access to what is shared without a lock, or all that is done under
 * the buffer's lock at a time. Whoever asks something of the processor holds Bus.mu,
 * so one process, the owner, makes all the calls, one after the other.
 *
 *	NQ	queues of the processor
 *	ITEMS	events for each of them, accepted at any moment
 *	CALLS	calls of the owner: Stop, Start, Pause, Resume, in any order
 *	KILLS	and in the end a Shutdown that gives up
 *	PAUSES	Pause and Resume are among the calls
 *
 * There is no poll: a wake-up that is lost is lost for good.
 */

#ifndef NQ
#define NQ 1
#endif
#ifndef ITEMS
#define ITEMS 2
#endif
#ifndef CALLS
#define CALLS 3
#endif
#define CHUNK 2			/* chunkSize */
#define HANDLERS 2		/* of each event */
#define NONE 7

#define STOP	1		/* the bits of processor.requests */
#define KILL	2
#define SESSION	4
/* reqPauses says no more than the hold that comes with it: paused is read each time. */

typedef word { byte begun; bool busy; bool held }
word cursor[NQ];		/* Buffer.cursor, one word: read or written in one step */
byte inCh[NQ];			/* events in the channel's chunks */
byte inOpen[NQ];		/* and in the open chunk, from Buffer.at on */
byte accepted[NQ];
bool paused[NQ];		/* queue.paused */
byte requests;			/* processor.requests */
#define BELL	0		/* what comes out of a door */
#define A_CHUNK	1
chan door[NQ] = [ITEMS + 1] of { bit };	/* Buffer.ch */
bool rung;			/* Buffer.mu.rung, of queue 0 */
byte taken[NQ];			/* Buffer.taken */
byte atHandler = NONE;		/* position.handler with callingBit, else NONE */
byte cut = NONE;		/* processor.cut: the first handler that is not called */

bool mu;			/* Bus.mu */
bool running;			/* Bus.life.session is not nil */
byte session;			/* and its number */
bool alive;			/* processor.life.alive */
bool spawned;

/* Ghosts. */
bool stopped;			/* Stop or giveUp has returned, and Start was not called since */
bool startedIn;			/* Start has returned, and Stop was not called since */
bool pausedBy[NQ];		/* Pause has returned, and Resume was not called since */
byte last[NQ];			/* the last event that may be handled, while stopped or pausedBy */
byte handled[NQ];		/* events whose first handler was called */
bool unloaded;
byte unloadAt[NQ];		/* the last event that was not handed back */
byte interruptedAt = NONE;	/* Shutdown says that the handlers from this one on were not called */
byte called = NONE;		/* the last handler that was called of the event at hand */
bool finished;
byte published;

inline lock(m) { atomic { !m -> m = true } }
inline unlock(m) { m = false }

inline nudge() {			/* Buffer.Ring of the first queue */
#ifndef MUT_NO_NUDGE
	d_step {
		if
		:: !rung -> rung = true; door[0]!BELL
		:: else
		fi
	}
#else
	skip
#endif
}

/* hold: Buffer.Hold of all queues */
inline hold() {
	cursor[0].held = true
#if NQ > 1 && !defined(MUT_HOLD_ONE)
	;
	cursor[1].held = true
#endif
}
/* release: Buffer.Release of all queues */
inline release() {
	cursor[0].held = false
#if NQ > 1
	;
	cursor[1].held = false
#endif
}

/* request: processor.request */
inline request(bits) {
#ifdef MUT_HOLD_FIRST
	hold();
	requests = requests | (bits);
#else
	requests = requests | (bits);
	hold();
#endif
	nudge()
}

/* openChunk: Buffer.openNextLocked, of a queue that has a chunk */
inline openChunk(q) {
	if
	:: taken[q] > 0 -> taken[q]--
	:: else ->
		do				/* Buffer.receiveLocked */
		:: assert(len(door[q]) > 0);
			door[q]?t;
			if
			:: t == A_CHUNK -> break
#ifndef MUT_BELL_STAYS_RUNG
			:: t == BELL -> rung = false
#else
			:: t == BELL
#endif
			fi
		od
	fi;
	t = BELL;
	inOpen[q] = (inCh[q] < CHUNK -> inCh[q] : CHUNK);
	inCh[q] = inCh[q] - inOpen[q]
}

proctype processor() {
	byte i, r, in, h;
	bool open[NQ];
	bool first;
	bit t;

off:	/* processor.startLocked: go p.main() */
end_off:
	atomic { spawned -> spawned = false; in = session };	/* enterLocked */

loop:	/* processor.serveRequests */
#ifdef MUT_PAUSED_FIRST
	open[0] = !paused[0];
#if NQ > 1
	open[1] = !paused[1];
#endif
#endif
#ifdef MUT_REQUESTS_FIRST
	r = requests;
#endif
	release();
#ifndef MUT_REQUESTS_FIRST
	r = requests;
#endif
	if
	:: r & SESSION ->
		requests = requests & ~SESSION;
		lock(mu); in = session; unlock(mu)	/* Bus.sessionOf */
	:: else
	fi;
#ifndef MUT_PAUSED_FIRST
	open[0] = !paused[0];
#if NQ > 1
	open[1] = !paused[1];
#endif
#endif
#ifndef MUT_REQUESTS_FIRST
	r = requests;
#endif
	if
	:: atomic { r & STOP -> r = 0 }; goto leave
	:: atomic { !(r & STOP) -> r = 0 }
	fi;

	/* processor.pick */
	i = 0;
	if
	:: open[0] && (inOpen[0] > 0 || inCh[0] > 0) -> goto begin
	:: else
	fi;
#if NQ > 1
	if
	:: open[1] && (inOpen[1] > 0 || inCh[1] > 0) -> i = 1; goto begin
	:: else
	fi;
#endif

idle:	/* processor.idle, and Buffer.Take of what came out of the door */
end_idle:
	if
	:: atomic { door[0]?t -> i = 0 }
#if NQ > 1
	:: atomic { door[1]?t -> i = 1 }
#endif
	fi;
	if
	:: atomic { t == BELL -> rung = false }		/* takeBell */
	:: atomic { t == A_CHUNK -> taken[i]++; t = BELL }
	fi;
	i = 0;
	if
	:: open[0] && (inOpen[0] > 0 || inCh[0] > 0) -> goto begin
	:: else
	fi;
#if NQ > 1
	if
	:: open[1] && (inOpen[1] > 0 || inCh[1] > 0) -> i = 1; goto begin
	:: else
	fi;
#endif
	goto loop;

begin:	/* Buffer.Begin, in processor.run */
	atomic {
		if
		:: inOpen[i] == 0 && inCh[i] == 0 -> goto ended
		:: inOpen[i] == 0 && inCh[i] > 0 -> openChunk(i)	/* openNext */
		:: inOpen[i] > 0
		fi
	};
#ifdef MUT_LOAD_AND_STORE
	if
	:: cursor[i].held -> goto ended
	:: !cursor[i].held
	fi;
	d_step { cursor[i].begun++; cursor[i].busy = true; cursor[i].held = false };
#else
	atomic {					/* Cursor.begin */
		if
		:: cursor[i].held -> goto ended
		:: !cursor[i].held ->
			cursor[i].begun++; cursor[i].busy = true;
			assert(!stopped && !pausedBy[i]);
			assert(!startedIn || in == session)
		fi
	};
#endif
	inOpen[i]--;					/* Buffer.shift */
	d_step { h = 0; called = NONE; atHandler = NONE; first = true };

	/* processor.dispatch */
	do
	:: h < HANDLERS ->
		atHandler = NONE;			/* setHandler */
		if
		:: (requests & KILL) && (h > 0) -> cut = h; break	/* isCutAt */
		:: else
		fi;
		atHandler = h;				/* setCalling */
		d_step {				/* the handler is called */
			called = h;
			handled[i] = handled[i] + first;
			first = false;
			assert(!(stopped || pausedBy[i]) || handled[i] <= last[i]);
			assert(!unloaded || handled[i] <= unloadAt[i]);
			assert(h < interruptedAt);
			h++
		}
	:: else -> break
	od;
	if
	:: NQ == 1 && cut == NONE -> goto begin		/* the next one begins with one step */
	:: else
	fi;

ended:	/* processor.endRun: Buffer.End */
	cursor[i].busy = false;
	goto loop;

leave:	/* processor.leave: Bus.release */
	lock(mu);
	if
#ifndef MUT_LEAVE_WITHOUT_LOOK
	:: !(requests & STOP) -> unlock(mu); goto loop
	:: (requests & STOP) -> alive = false; unlock(mu); goto off
#else
	:: true -> alive = false; unlock(mu); goto off
#endif
	fi
}

proctype publisher(byte q) {
	do
	:: atomic { accepted[q] < ITEMS && !unloaded ->
			accepted[q]++;
			if
			:: inCh[q] % CHUNK == 0 -> door[q]!A_CHUNK	/* all chunks are full, or there is none */
			:: else
			fi;
			inCh[q]++
		}
	:: accepted[q] == ITEMS || unloaded -> break
	od;
	published++
}

/* noteBegun remembers what had begun by the moment at which a call returns. */
inline noteBegun(q) { last[q] = cursor[q].begun }

inline stopLocked() {
	if
	:: running -> running = false; request(STOP)
	:: else
	fi
}
inline stop() {
	lock(mu);
	startedIn = false;
	stopLocked();
	unlock(mu);
	d_step { noteBegun(0); noteBegun(NQ - 1); stopped = true }
}
inline start() {
	d_step { stopped = false; startedIn = false };
	lock(mu);
	if
	:: running
	:: else ->
		d_step { running = true; session++ };
		requests = requests & ~STOP;		/* processor.startLocked */
		if
		:: alive -> request(SESSION)
		:: else -> d_step { alive = true; spawned = true }
		fi
	fi;
	unlock(mu);
	startedIn = true
}
inline pause(q) {
	lock(mu);
	paused[q] = true;
	request(0);
	unlock(mu);
	d_step { noteBegun(q); pausedBy[q] = true }
}
inline resume(q) {
	pausedBy[q] = false;
	lock(mu);
	paused[q] = false;
	request(0);
	unlock(mu)
}

#ifdef KILLS
/* Bus.giveUp, and what Bus.drain does after it */
inline shutdown() {
	lock(mu);
	startedIn = false;
	request(STOP | KILL);
	stopLocked();
	unlock(mu);
	d_step { noteBegun(0); noteBegun(NQ - 1); stopped = true };
	lock(mu);
	request(STOP);					/* Bus.hold */
	unlock(mu);
	/* Bus.callsAtHand: atHandLocked looks until it knows */
	if
	:: atomic { !mu && !(cursor[0].busy || cursor[NQ - 1].busy) -> interruptedAt = cut }
	:: atomic { !mu && cut != NONE -> interruptedAt = cut }
	:: atomic { !mu && (cursor[0].busy || cursor[NQ - 1].busy) && cut == NONE && atHandler != NONE -> interruptedAt = atHandler + 1 }
	fi;
	/* Buffer.Unload */
	d_step {
		unloaded = true;
#ifdef MUT_HAND_BACK_FROM_AT
		unloadAt[0] = accepted[0] - inCh[0] - inOpen[0];
		unloadAt[NQ - 1] = accepted[NQ - 1] - inCh[NQ - 1] - inOpen[NQ - 1]
#else
		unloadAt[0] = cursor[0].begun;
		unloadAt[NQ - 1] = cursor[NQ - 1].begun
#endif
	}
}
#endif

proctype owner() {
	byte k;
	do
	:: k < CALLS ->
		k++;
		if
		:: stop()
		:: start()
#ifdef PAUSES
		:: pause(0)
		:: resume(0)
#if NQ > 1
		:: pause(1)
		:: resume(1)
#endif
#endif
		fi
	:: else -> break
	od;
#ifdef KILLS
	shutdown();
#endif
	finished = true
}

/* At the end: each request is served, and what may be handled is. */
inline rest(q) {
	assert(!running || cursor[q].begun == accepted[q] || paused[q]);
	assert(!cursor[q].busy && !cursor[q].held || !alive);
	assert(handled[q] == cursor[q].begun);
	assert(!unloaded || handled[q] == unloadAt[q])
}

init {
	atomic {
		running = true; alive = true; spawned = true; startedIn = true;
		run processor();
		run publisher(0);
#if NQ > 1
		run publisher(1);
#endif
		run owner()
	};
	timeout -> d_step {
		assert(finished && published == NQ);
		assert(alive == running);
		rest(0);
		rest(NQ - 1)
	}
}

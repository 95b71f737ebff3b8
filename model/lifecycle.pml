/*
 * Start, Stop, Pause and Resume (bus_lifecycle.go), Flush (bus_wait.go) and
 * Shutdown (bus_shutdown.go). Sessions, contexts, the watch and the logs are left
 * out. With TWO_BUSES all of it is done to the bus of queue 0.
 */

#define STOP	1		/* the bits of processor.requests */
#define KILL	2
#define SESSION	4

bool mu;			/* Bus.mu */
bool session;			/* Bus.life.session is not nil */
bool shutdownBegun;		/* Bus.life.shutdown is not nil */
bool gaveUp;			/* shutdown.giveUp is closed */
bool alive[NP];			/* processor.life.alive */
bool spawned[NP];		/* a goroutine for the processor has been started */
byte requests[NP];		/* processor.requests */
bool held[NP];			/* of Buffer.cursor the held bit */
bool paused[NP];		/* queue.paused */
bool isHeld[NP];		/* queue.held */
chan wake[NP] = [1] of { bit };	/* the bell of Buffer.Ring, which cursor.pml has in the door */
#ifdef OBSERVED
byte nBegun[NP];		/* of Buffer.cursor the rest */
bool busy[NP];
byte buried[NP];
bool buriedLast[NP];		/* accounts.buriedAt is what was begun last */
#endif

/* Ghosts. */
bool returned;			/* Shutdown has returned */
#ifdef SHUTS_DOWN
byte handedBack;		/* events */
#endif
#ifdef STOPS
bool stopReturned;		/* and Start has not been called since */
#endif
#ifdef PAUSES
bool pauseReturned;		/* for queue 0, and Resume has not been called since */
bool resumed;			/* Resume has been called */
bool saidPaused;		/* Flush has said so, and Resume has not been called since */
#endif

/* What is one step in these runs. */
#ifdef FINE
#define whole
#else
#define whole atomic
#endif

/* ours runs a statement for queue 1, if it is of the bus that all of this is about. */
#ifdef TWO_BUSES
#define ours(x)	skip
#else
#define ours(x)	x
#endif

/* request: processor.request, in one step: cursor.pml takes it apart */
inline request(k, bits) {
	d_step {
		requests[k] = requests[k] | (bits);
		held[k] = true;
		if
		:: len(wake[k]) == 0 -> wake[k]!1
		:: else
		fi
	}
}

/* setIdle: queue.setIdleLocked and deferRestLocked */
inline setIdle(q, on) {
	adm[q].idle = (on);
	admitLocked(q, false);
	if
	:: adm[q].idle ->
		by = 0;
		do
		:: by < adm[q].n ->
			if
			:: !isWaiter(adm[q].first[by]) -> by++
			:: isWaiter(adm[q].first[by]) && awaits(ORIGIN(adm[q].first[by])) ->
				d_step { on_ = ORIGIN(adm[q].first[by]); x = by; takeOut(q); settle(on_, NOWAIT); on_ = 0 }
			:: isWaiter(adm[q].first[by]) && !awaits(ORIGIN(adm[q].first[by])) ->
				atomic {
					muFree(q);
					on_ = ORIGIN(adm[q].first[by]);
					if
					:: mayDefer(q) ->
						count(q, 1);
						adm[q].first[by] = wEvent[on_]; adm[q].deferred++;
						assert(adm[q].deferred <= CAP(q) + DRIFT);
						settle(on_, ACCEPTED);
						by++
					:: else -> x = by; takeOut(q); settle(on_, FULL)
					fi;
					on_ = 0
				}
			fi
		:: else -> break
		od;
		by = 0;
		withdrawAll(q, withdrawn);
		note(q)
	:: else
	fi
}
inline withdrawAll(q, outcome) {
#ifdef AWAITS
	withdraw(q, 0, outcome);
	withdraw(q, 1, outcome);
#ifndef MUT_ROOM_TO_NOBODY
	admitLocked(q, false)
#else
	skip
#endif
#else
	skip
#endif
}

/* setRunning: Bus.setRunningLocked */
inline setRunning(on) {
	lock(admissionMu);
	whole {
		running = on;
		setIdle(0, !running || paused[0]);
		ours(setIdle(1, !running || paused[1]))
	};
	unlock(admissionMu)
}

/* stopLocked: Bus.stopLocked */
inline stopLocked() {
	if
	:: session ->
		session = false;
		request(0, STOP);
		ours(request(1, STOP));
		setRunning(false);
		changed()
	:: else
	fi
}

/* stop: Bus.Stop */
inline stop() {
	lock(mu);
	stopLocked();
	unlock(mu)
}

/* startLocked: processor.startLocked */
inline startLocked(k) {
	requests[k] = requests[k] & ~STOP;
	if
	:: alive[k] -> request(k, SESSION)
	:: else -> d_step { alive[k] = true; spawned[k] = true }
	fi
}

/* start: Bus.Start */
inline start() {
	lock(mu);
	if
	:: shutdownBegun || session
	:: else ->
		session = true;
		setRunning(true);
		startLocked(0);
		ours(startLocked(1));
		changed()
	fi;
	unlock(mu)
}

/* setPaused: Bus.Pause and Resume, of queue 0 */
inline setPaused(on) {
	lock(mu);
#ifndef MUT_PAUSED_IS_HELD
	if
	:: !(on) -> isHeld[0] = false
	:: else
	fi;
	paused[0] = on;
	request(0, 0);
	isHeld[0] = on;
#else
	d_step { paused[0] = on; isHeld[0] = on };
	request(0, 0);
#endif
	lock(admissionMu);
	whole { setIdle(0, !running || paused[0]) };
	unlock(admissionMu);
	changed();
	unlock(mu)
}

/* closeLocked: queue.closeLocked */
inline closeLocked(q, bits) {
	gate[q] = gate[q] | (bits);
#ifndef MUT_CLOSE_WITHOUT_REFUSING
	by = 0;
	do
	:: by < adm[q].n ->
		if
		:: isWaiter(adm[q].first[by]) && (((bits) & CLOSED) || !ofBus(ORIGIN(adm[q].first[by]), q)) ->
			d_step {
				on_ = ORIGIN(adm[q].first[by]);
				noteRefused(q, on_);
				x = by; takeOut(q); settle(on_, REFUSED); on_ = 0
			}
		:: else -> by++
		fi
	:: else -> break
	od;
	do
	:: some(publishers[q]) -> publishers[q]?by; settle(by, REFUSED)
	:: else -> break
	od;
	by = 0;
#endif
	if
	:: (bits) & CLOSED -> withdrawAll(q, refused)
	:: else
	fi;
	note(q)
}

/* close: Bus.close */
inline close(bits) {
	lock(admissionMu);
	whole { closeLocked(0, bits) };
	ours(whole { closeLocked(1, bits) });
	unlock(admissionMu)
}

/* giveUp: Bus.giveUp */
inline giveUp() {
	lock(mu);
	endBegun = true;
	request(0, STOP | KILL);
	ours(request(1, STOP | KILL));
	close(CLOSING | CLOSED);
	stopLocked();
	gaveUp = true;
	unlock(mu)
}

#ifdef OBSERVED
/* What a process that observes declares. */
#define OBSERVER byte n0, n1, s0, s1, left0, left1; bool r0, r1, holds, stopWaiting

/* gone: Buffer.Gone */
inline readGone(q, n) {
	atomic {
		muFree(q);
		n = nBegun[q] - buried[q] - (busy[q] && !buriedLast[q]) + nEvicted[q] + nWithdrawn[q]
	}
}
#define site(q)	(2 * nBegun[q] + busy[q])

#define inQueue0 (ch[0]??[eval(EV(NP, 0, 0))] || open[0]??[eval(EV(NP, 0, 0))] || \
	ch[0]??[eval(EV(1, 0, 1))] || open[0]??[eval(EV(1, 0, 1))] || \
	adm[0].first[0] == EV(1, 0, 1) || adm[0].first[1] == EV(1, 0, 1) || adm[0].first[2] == EV(1, 0, 1))
inline atRest() {
#if defined(PAUSES) && defined(FLUSHES)
	/* What Flush was called after is handled, or waits in the paused queue. */
	assert(!(holds && left0) || undone[0] == inQueue0);
	saidPaused = holds && left0 && !resumed
#else
	skip
#endif
}

/* rest: Bus.rest. r0 says whether queue 0 rested at the first look, left0 whether
 * it holds events; only queue 0 is ever paused. */
inline rest() {
	r0 = isHeld[0];
	atomic { s0 = site(0); r0 = r0 && !busy[0] };
	readGone(0, n0);
#ifndef TWO_BUSES
	readGone(1, n1);
#endif
	atomic { muFree(0) -> left0 = accepted[0] != n0 };
#ifndef TWO_BUSES
	atomic { muFree(1) -> left1 = accepted[1] != n1 };
#endif
	holds = !left1 && (!left0 || r0);
#ifndef MUT_NO_SECOND_LOOK
	if
	:: holds && left0 ->
		r0 = isHeld[0];
		atomic { holds = r0 && !busy[0] && site(0) == s0; atRest() }
	:: else
	fi;
#else
	atomic { atRest() };
#endif
	d_step { n0 = 0; n1 = 0; s0 = 0; s1 = 0; r0 = false; left1 = false }
}
/* haveExited: Bus.haveExited */
inline haveExited() {
	lock(mu);
	holds = !alive[0];
	ours(holds = holds && !alive[1]);
	unlock(mu)
}

/* isSettled: Bus.isSettled */
inline isSettled() {
	rest();
	if
	:: holds
	:: !holds && running
	:: !holds && !running -> haveExited()
	fi
}

/* The parts of Bus.await, for observer o. What is closed while an observer
 * does not look is nothing to it. */
#ifdef MUT_ANNOUNCE_LATE
#define announce(o)
#define nextChange(o)	atomic { looks[o] = true; notified[o] = false }
#define beforeWait(o)	observers++
#define afterWait(o)	observers--
#define unannounce(o)	atomic { looks[o] = false; notified[o] = false; holds = false }
#else
#define announce(o)	observers++
#define nextChange(o)	atomic { looks[o] = true; notified[o] = false }
#define beforeWait(o)
#define afterWait(o)
#define unannounce(o)	atomic { observers--; looks[o] = false; notified[o] = false; holds = false }
#endif

/* unload: queue.unload and Buffer.Unload. The open chunk's events stay in it here, so
 * that a processor that went on would begin one twice. */
inline unload(q) {
	lock(admissionMu);
	atomic {
		muFree(q);
		n0 = len(open[q]);
		do
		:: n0 > 0 -> open[q]?w; open[q]!w; handBack(q, w); n0--
		:: else -> break
		od;
		do
		:: some(ch[q]) -> ch[q]?w; handBack(q, w)
		:: else -> break
		od;
		do
		:: n0 < adm[q].n && !isWaiter(adm[q].first[n0]) -> w = adm[q].first[n0]; handBack(q, w); n0++
		:: else -> break
		od;
		assert(n0 == adm[q].n);
		do
		:: n0 > 0 -> n0--; adm[q].first[n0] = 0
		:: else -> break
		od;
		d_step { adm[q].n = 0; adm[q].deferred = 0; dead[q] = 0; w = 0 }
	};
	unlock(admissionMu)
}

/* handBack: Buffer.keepLocked */
inline handBack(q, e) {
#ifdef AWAITS
	if
#ifndef MUT_HAND_BACK_WITHDRAWN
	:: awaits(WHO(e)) && isOver(compOf(e))
#endif
	:: awaits(WHO(e)) && compOf(e) == waiting -> compOf(e) = refused; ghostRefused(q, e)
	:: else -> handedBack++; ghostOut(q, e)
	fi
#else
	handedBack++;
	ghostOut(q, e)
#endif
}
#endif

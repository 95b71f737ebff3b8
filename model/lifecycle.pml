/*
 * Start, Stop and Flush (lifecycle.go) and Shutdown (shutdown.go). Sessions,
 * contexts, the watch and the logs are left out.
 */

#define STOPPED	1		/* the bits of processor.attention */
#define KILLED	2
#define RENEWED	4

#define AWAY	0		/* the state of queue.position */
#define TAKING	1
#define CALLING	2

bool mu;			/* Bus.mu */
bool session;			/* Bus.session is not nil */
bool shutdownBegun;		/* Bus.shutdown is not nil */
bool gaveUp;			/* shutdown.giveUp is closed */
bool alive[NP];			/* processor.alive */
bool spawned[NP];		/* a goroutine for the processor has been started */
byte attention[NP];		/* processor.attention */
chan wake[NP] = [1] of { bit };	/* processor.wake */
#ifdef OBSERVED
byte mark[NP];			/* queue.position, which says */
byte begun[NP];			/* both at once */
#endif

/* Ghosts. */
bool returned;			/* Shutdown has returned */
#ifdef TO_THE_END
byte handedBack;		/* events */
#endif
#ifdef STOPS
bool stopReturned;		/* and Start has not been called since */
bool afterStop[8];		/* of each origin: published after Stop had returned */
#endif

/* signal: processor.signal */
inline signal(k, bits) {
	attention[k] = attention[k] | (bits);
	d_step {
		if
		:: len(wake[k]) == 0 -> wake[k]!1
		:: else
		fi
	}
}

/* suspendLocked: queue.suspendLocked */
inline suspendLocked(q) {
	if
	:: lineEmpty(q)		/* nothing changes */
	:: else ->
		admitLocked(q, true);
		do
		:: none(parked[q]) -> break
		:: else ->
			parked[q]?by;
			deferLocked(q, wEvent[by]);
			assert(res == ACCEPTED);
			settle(by, res);
			by = 0; res = 0
		od;
		note(q)
	fi
}

/* setRunning: Bus.setRunning */
inline setRunning(on) {
	lock(lineMu);
	running = on;
	if
	:: !(on) -> suspendLocked(0); suspendLocked(1)
	:: else
	fi;
	unlock(lineMu)
}

/* stopLocked: Bus.stopLocked */
inline stopLocked() {
	if
	:: session ->
		d_step { session = false; stops++ };
		setRunning(false);
		signal(0, STOPPED);
		signal(1, STOPPED);
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
	attention[k] = attention[k] & ~STOPPED;
	if
	:: alive[k] -> signal(k, RENEWED)
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
		startLocked(1)
	fi;
	unlock(mu)
}

/* closeLocked: queue.closeLocked */
inline closeLocked(q, bits) {
	state[q] = state[q] | (bits);
	do
	:: some(outside[q]) -> outside[q]?by; settle(by, REFUSED); by = 0
	:: else -> break
	od;
	do
	:: ((bits) & CLOSED) && some(parked[q]) -> parked[q]?by; settle(by, REFUSED); by = 0
	:: else -> break
	od;
	note(q)
}

/* close: Bus.close */
inline close(bits) {
	lock(lineMu);
	closeLocked(0, bits);
	closeLocked(1, bits);
	unlock(lineMu)
}

/* giveUp: Bus.giveUp */
inline giveUp() {
	lock(mu);
	endBegun = true;
	close(CLOSING | CLOSED);
	signal(0, STOPPED | KILLED);
	signal(1, STOPPED | KILLED);
	stopLocked();
	gaveUp = true;
	unlock(mu)
}

#ifdef OBSERVED
/* What a process that observes declares. */
#define OBSERVER byte n0, n1; bool holds, stopWaiting

/* handled: queue.handled, one load of position */
#define handled(q)	(begun[q] - (mark[q] == CALLING))

/* atRest: Bus.rest */
inline atRest() {
	n0 = handled(0);
	n1 = handled(1);
#ifdef DROP_OLDEST
	n0 = n0 + evicted[0];
#endif
	atomic { muFree(0) -> holds = accepted[0] == n0 };
	if
	:: holds -> atomic { muFree(1) -> holds = accepted[1] == n1 }
	:: else
	fi;
	n0 = 0; n1 = 0
}

/* deserted: Bus.deserted */
inline deserted() {
	lock(mu);
	holds = !alive[0] && !alive[1];
	unlock(mu)
}

/* settled: Bus.settled */
inline settled() {
	atRest();
	if
	:: holds
	:: !holds && running
	:: !holds && !running -> deserted()
	fi
}

/* awaitStill: awaitTurn with Bus.still, which looks until it holds */
inline awaitStill() {
	!mu && !(alive[0] && mark[0] == TAKING) && !(alive[1] && mark[1] == TAKING)
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

/* takeAll: queue.takeAll and unload. The open chunk's events stay in it here, so
 * that a processor that went on would begin one twice. */
inline takeAll(q) {
	lock(lineMu);
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
		:: some(deferred[q]) -> deferred[q]?w; handBack(q, w)
		:: else -> break
		od;
		w = 0
	};
	note(q);
	unlock(lineMu)
}

inline handBack(q, e) {
#ifdef TO_THE_END
	handedBack++;
#endif
	ghostOut(q, e)
}
#endif

/*
 * The life of a bus: it is started, publishers and handlers publish, and
 *
 *	STOPS		it is stopped and started again
 *	SHUTS_DOWN	it is shut down
 *	KILLS		and the Shutdown's context ends at some moment
 *	STOPS_FOR_GOOD	it is stopped and not started again (with SHUTS_DOWN)
 *	PAUSES		queue 0 is paused and, unless PAUSES_FOR_GOOD, resumed
 *	TWICE		and paused again
 *	FLUSHES		the first publisher calls Flush after its last event
 *	HANDLER_HANGS	any handler may never return
 *	LOGGER_HANGS	the record that a processor has stopped may never return
 *
 * at any moment. When nothing moves any more, everybody must be done, and each
 * accepted event must have been begun, or handed back in order.
 */
#define LIFE
#ifndef FINE
#define COARSE
#endif
#if defined(SHUTS_DOWN) || defined(FLUSHES)
#define OBSERVED
#endif

#include "admission.pml"
#include "lifecycle.pml"
#include "processor.pml"

#ifndef EACH0
#define EACH0 1			/* how many events the first publisher publishes */
#endif
#ifndef EACH1
#define EACH1 1			/* and the second */
#endif
#define EACH(j)	((j) == 0 -> EACH0 : EACH1)
#ifdef ALL_TO_ONE
#define TARGET(j, k)	0
#else
#ifdef EACH_ITS_OWN
#define TARGET(j, k)	((j) % NP)
#else
#define TARGET(j, k)	(((j) + (k)) % NP)
#endif
#endif

#ifndef SERVED
#define SERVED NP		/* queues with a processor; the others get no events */
#endif

byte finished;
bool stopsDone;
bool pausesDone;

proctype publisher(byte j) {
	LOCALS;
#ifdef FLUSHES
	OBSERVER;
#endif
	byte k, mine;
	do
	:: k < EACH(j) ->
		mine = EV(NP + j, j * EACH0 + k, 0);
		publish(TARGET(j, k), mine, NP + j);
		mine = 0; res = 0;
		k++
	:: else -> break
	od;
#ifdef FLUSHES
	/* Bus.Flush */
	if
	:: j == 0 ->
		announce(1);
		do
		:: nextChange(1);
			rest();
			stopWaiting = holds;	/* rested */
			if
			:: holds || running
			:: else -> haveExited()
			fi;
			if
			:: holds -> break
			:: else
			fi;
			beforeWait(1);
			notified[1];
			afterWait(1)
		od;
		unannounce(1);
		k = 0;
		do
		:: k < EACH(j) -> assert(!stopWaiting || left0 || undone[k] == 0); k++
		:: else -> break
		od
	:: else
	fi;
#endif
	finished++
}

#ifdef STOPS
proctype owner() {
	LOCALS;
	stop();
	stopReturned = true;
#ifndef STOPS_FOR_GOOD
	stopReturned = false;
	start();
#endif
	stopsDone = true
}
#endif

#ifdef PAUSES
proctype pauser() {
	LOCALS;
	setPaused(true);
	pauseReturned = true;
#ifndef PAUSES_FOR_GOOD
	d_step { pauseReturned = false; saidPaused = false; resumed = true };
	setPaused(false);
#ifdef TWICE
	setPaused(true);
	pauseReturned = true;
	d_step { pauseReturned = false; saidPaused = false; resumed = true };
	setPaused(false);
#endif
#endif
	pausesDone = true
}
#endif

#ifdef SHUTS_DOWN
proctype shutdown() {
	LOCALS;
	OBSERVER;
	/* Bus.beginShutdown */
	lock(mu);
	shutdownBegun = true;
	close(CLOSING);
	unlock(mu);
	/* Bus.drain */
	announce(0);
	do
	:: nextChange(0);
		isSettled();
		if
		:: holds -> break
		:: else
		fi;
		beforeWait(0);
		if
		:: notified[0]
		:: gaveUp -> stopWaiting = true; break
		fi;
		afterWait(0)
	od;
	unannounce(0);
	if
	:: stopWaiting
	:: else ->
		stop();
		announce(0);
		do
		:: nextChange(0);
			haveExited();
			if
			:: holds -> break
			:: else
			fi;
			beforeWait(0);
			if
			:: notified[0]
			:: gaveUp -> break
			fi;
			afterWait(0)
		od;
		unannounce(0)
	fi;
	stopWaiting = false;
	endBegun = true;
	close(CLOSING | CLOSED);
	/* Bus.hold */
	lock(mu);
	request(0, STOP);
	ours(request(1, STOP));
	unlock(mu);
	/* Bus.callsAtHand */
	atomic { !mu -> holds = busy[0]; ours(holds = holds || busy[1]) };
	/* Bus.handBack */
	unload(0);
	ours(unload(1));
	/* Bus.refused */
	atomic { !admissionMu ->
		returned = true;
		returnedNil = !holds && handedBack == 0 && nRefused == 0;
		assert(!returnedNil || refusedToHandlers == 0)
	};
	holds = false
}
#endif

#ifdef KILLS
proctype killer() {
	LOCALS;
	shutdownBegun;
	giveUp()
}
#endif

inline accounts() {
#ifdef SHUTS_DOWN
	assert(returned);
	assert(finished == NPUB);
#endif
#ifdef STOPS
	assert(stopsDone);
#endif
#ifdef PAUSES
	assert(pausesDone);
#endif
	k = 0;
	do
	:: k < NP ->
		if
		:: paused[k] && !returned ->
			/* Whoever is in line finds no room. */
			assert(lineEmpty(k) || !hasRoom(k))
		:: else ->
			assert(finished == NPUB || paused[0]);
			assert(none(ch[k]));
			assert(lineEmpty(k));
			assert(none(open[k]) || returned);
			assert(dead[k] == 0)
		fi;
		assert(edge[k] == NONE);
		k++
	:: else -> break
	od;
	k = 0;
	do
	:: k < NW * NP -> assert(none(flight[k]) || paused[0] && !returned); k++
	:: else -> break
	od
}

init {
	byte k, g, mine, origin = EACH0 + (NPUB - 1) * EACH1;
	atomic {
		ch[0] = ch0; ch[1] = ch1;
		session = true; running = true;
#ifdef FILLED
		/* published by the first publisher before the bus was started */
		for (k : 0 .. FILLED - 1) {
			do
			:: len(ch[k]) < CAP(k) ->
				mine = EV(NP, origin, 0);
				ghostPublish(k, mine);
				count(k, 1);
				push(k, mine);
				origin++
			:: else -> break
			od
		}
		mine = 0; origin = 0;
#endif
		for (k : 0 .. SERVED - 1) {
			alive[k] = true; spawned[k] = true;
			run processor(k)
		}
		for (k : 0 .. NPUB - 1) { run publisher(k) }
#ifdef STOPS
		run owner();
#endif
#ifdef PAUSES
		run pauser();
#endif
#ifdef SHUTS_DOWN
		run shutdown();
#endif
#ifdef KILLS
		run killer();
#endif
		k = 0
	}
	timeout -> d_step { accounts() }
}

/*
 * The processor: processor.go, serve and what it calls. There is no poll, so
 * a wake-up that is lost is lost for good and shows as an end with something
 * left.
 *
 * A handler publishes one event for each that it gets, until HOPS handlers
 * have passed it on.
 */

#ifndef HOPS
#define HOPS 1
#endif

/* Which processors' handlers publish. */
#ifdef ONE_WAY
#define PUBLISHES(p)	((p) == 0)
#else
#define PUBLISHES(p)	true
#endif

#define OWN	0		/* where a handler publishes */
#define NEXT	1
#define ANY	2
#ifndef TO
#define TO	NEXT
#endif

inline chooseTarget(p) {
#if TO == OWN
	to = p
#elif TO == NEXT
	to = (p + 1) % NP
#else
	if
	:: to = p
	:: to = (p + 1) % NP
	fi
#endif
}

proctype processor(byte p) {
	LOCALS;
	byte cur, to, mine;
#ifdef MUT_IDLE_WITHOUT_ADMIT
	bool idled;
#endif
#ifdef LIFE
	byte a;

off:	/* processor.startLocked: go p.main() */
end_off:
	atomic { spawned[p] -> spawned[p] = false }

serve:	/* processor.attend, with goAway and Bus.renew */
#ifdef OBSERVED
	mark[p] = AWAY;
	changed();
#endif
#ifdef STOPS
	if
	:: attention[p] & RENEWED -> lock(mu); attention[p] = attention[p] & ~RENEWED; unlock(mu)
	:: else
	fi;
#endif
#ifdef OBSERVED
	mark[p] = TAKING;
#endif
	a = attention[p];
	atomic {
		if
		:: a & STOPPED -> a = 0; goto leave
		:: else -> a = 0
		fi;
		if
		:: some(ch[p]) && held[p] == 0 -> goto take
		:: none(ch[p]) && held[p] == 0 -> goto idle
		:: held[p] != 0		/* processor.holding */
		fi
	};
	/* queue.release */
	lock(lineMu);
	d_step { cur = held[p]; held[p] = 0 };
	note(p);
	unlock(lineMu);
	goto handle;
#endif

idle:	/* processor.idle */
end_idle:
	if
#ifdef LIFE
	:: ch[p]?cur
	:: wake[p]?_ -> goto serve
#else
	:: atomic { ch[p]?cur -> ghostOut(p, cur) }
#endif
	fi;
#ifdef LIFE
handle:	/* processor.take */
	if
	:: attention[p] & STOPPED ->	/* queue.hold */
		lock(lineMu);
		d_step { held[p] = cur; cur = 0 };
		note(p);
		unlock(lineMu);
		admit(p);
		goto serve
	:: else
	fi;
#endif
#ifdef MUT_IDLE_WITHOUT_ADMIT
	idled = true;
#endif
	goto begin;

next:	/* processor.run: from one event to the next */
	if
	:: some(ch[p])
	:: none(ch[p]) -> goto ran
	fi;
take:
#ifdef LIFE
	if
	:: attention[p] != 0 -> goto ran
	:: attention[p] == 0
#ifdef LIMIT
	:: attention[p] == 0 -> goto ran	/* runLimit events have been taken */
#endif
	fi;
#endif
#ifdef LIFE
	ch[p]?cur;
#else
	atomic { ch[p]?cur; ghostOut(p, cur) }
#endif

begin:
#ifdef LIFE
	atomic {
#ifdef OBSERVED
		mark[p] = CALLING; begun[p]++;
#endif
		assert(!returned);
#ifdef STOPS
		assert(!(stopReturned && GEN(cur) == 0 && afterStop[ORIGIN(cur)]));
#endif
		ghostOut(p, cur)
	};
#endif
#ifdef MUT_IDLE_WITHOUT_ADMIT
	if
	:: idled -> idled = false
	:: else -> admit(p)
	fi;
#else
	admit(p);
#endif
	/* the handler: processor.dispatch */
	if
	:: GEN(cur) < HOPS && PUBLISHES(p) ->
		chooseTarget(p);
		mine = EV(p, ORIGIN(cur), GEN(cur) + 1);
		publish(to, mine, p);
		assert(res == ACCEPTED || res == GONE || res == REFUSED && endBegun);
		to = 0; mine = 0; res = 0
	:: else
#ifdef HANDLER_HANGS
	:: true ->
end_hung:	false
#endif
	fi;
#ifdef OBSERVED
	d_step {
		mark[p] = TAKING;
#ifdef FLUSHES
		undone[ORIGIN(cur)]--;
#endif
		cur = 0
	};
#else
	cur = 0;
#endif
	goto next;

ran:
#ifdef OBSERVED
	changed();
#endif
#ifdef LIFE
	goto serve;

leave:	/* processor.leave: say, and Bus.release */
#ifdef OBSERVED
	mark[p] = AWAY;
	changed();
#endif
#ifdef LOGGER_HANGS
	if
	:: true
	:: true ->
end_logging:	false
	fi;
#endif
	lock(mu);
	if
#ifdef MUT_LEAVE_WITHOUT_LOOK
	:: true -> alive[p] = false; changed(); unlock(mu); goto off
#else
	:: attention[p] & STOPPED -> alive[p] = false; changed(); unlock(mu); goto off
	:: else -> unlock(mu); goto serve
#endif
	fi
#else
	goto end_idle
#endif
}

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
#ifdef LIFE
	byte a;

off:	/* processor.startLocked: go p.main() */
end_off:
	atomic { spawned[p] -> spawned[p] = false }

serve:	/* processor.attend, with goAway and Bus.renew */
	mark[p] = AWAY;
#ifndef AWAY_UNTOLD
	changed();
#endif
	a = attention[p];
	if
	:: a & RENEWED -> lock(mu); attention[p] = attention[p] & ~RENEWED; unlock(mu)
	:: else
	fi;
#ifdef ATTENTION_FIRST
	a = attention[p];
	mark[p] = TAKING;
#else
	mark[p] = TAKING;
	a = attention[p];
#endif
	if
	:: a & STOPPED -> a = 0; goto leave
	:: else -> a = 0
	fi;
	if
	:: held[p] != 0 ->	/* queue.release; only the processor holds */
		lock(lineMu);
		d_step { cur = held[p]; held[p] = 0 };
		note(p);
		unlock(lineMu);
		goto begin
	:: else
	fi;
	if
	:: some(ch[p]) -> goto take
	:: none(ch[p])
	fi;
#endif

	/* processor.idle */
end_idle:
	if
	:: ch[p]?cur
#ifdef LIFE
	:: wake[p]?_ -> goto serve
#endif
	fi;
#ifndef IDLE_WITHOUT_ADMIT
	admit(p);
#endif
#ifdef LIFE
#ifndef BEGIN_WHAT_IDLE_TOOK
	if
	:: attention[p] & STOPPED ->	/* queue.hold */
		lock(lineMu);
		d_step { held[p] = cur; cur = 0 };
		note(p);
		unlock(lineMu);
		goto serve
	:: else
	fi;
#endif
#endif
	goto begin;

take:	/* processor.run */
	if
	:: some(ch[p])
	:: none(ch[p]) -> goto ran
	fi;
#ifdef LIFE
	if
	:: attention[p] != 0 -> goto ran
	:: attention[p] == 0
#ifdef LIMIT
	:: attention[p] == 0 -> goto ran	/* runLimit events have been taken */
#endif
	fi;
#endif
	ch[p]?cur;
	admit(p);

begin:
	atomic {
#ifdef LIFE
		mark[p] = CALLING; begun[p]++;
		assert(!returned);
		assert(!(stopReturned && published[ORIGIN(cur)] == AFTER_STOP));
#endif
		hasDeferred[p] = false;
		ghostOut(p, cur)
	};
#ifdef LIFE
	/* processor.heed; the first handler is called in any case */
	if
	:: attention[p] & KILLED -> changed()
	:: else
	fi;
#endif
	/* the handler */
	if
	:: GEN(cur) < HOPS ->
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
#ifdef LIFE
	d_step { mark[p] = TAKING; passed[ORIGIN(cur)]++; cur = 0 };
#else
	cur = 0;
#endif
	goto take;

ran:
#ifdef LIFE
	changed();
	goto serve;

leave:	/* processor.leave: say, and Bus.release */
	mark[p] = AWAY;
#ifndef AWAY_UNTOLD
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
#ifdef LEAVE_WITHOUT_LOOK
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

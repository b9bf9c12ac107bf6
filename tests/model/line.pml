/* The line for one lock, and (with -DCIRCLE) agents that wait for each other. A transaction is one step here, because
   transaction.pml shows that it may be taken for one; what a waiter reads without the guard (`Place._seems_ours`) is apart
   from what it then does with it (`Place._take`, agentsync/ops/waiting.py).

   Waiters come, wait, give up, are killed in line or as holder, and leave because their agent's session ends (which drops
   their place while the waiting process still runs). A Newcomer asks again and again without waiting. The order is that of
   coming: priorities are tests/core/test_queue.py's.

   Broken on purpose, each a -D: NO_RECHECK PASSES NO_TIMER DEAD_COUNT NOT_LEFT; of CIRCLE: NO_CIRCLE_CHECK */

#ifndef WAITERS
#define WAITERS 3
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#define NOBODY 0
#define NEWCOMER (WAITERS + 1)

#ifndef CIRCLE
/* On disk */
byte holder = NOBODY;
byte line[WAITERS + 1];			/* the first waits longest; a 0 after the last */

/* The world */
bool dead[WAITERS + 2];			/* proof of death: of the waiting process, and of the agent */
bool ended[WAITERS + 2];		/* its session has ended */
byte deaths, ends;
bool changed[WAITERS + 1];		/* there is an event that this waiter has not seen yet */

#define is_free	(holder == NOBODY || dead[holder])
#define waits1	(!dead[1] && (line[0] == 1 || line[1] == 1 || line[2] == 1))

/* Promise: who stays in line is granted, if holders let go or die; the scheduler is fair, the Newcomer may be nasty */
ltl served { [] (waits1 -> <> !waits1) }

inline event() {
#ifdef NO_TIMER
	changed[1] = true; changed[2] = true; changed[3] = true
#else
	skip
#endif
}

/* found: whether a live waiter is before `who`, or in line at all if `who` is not */
inline look_ahead(who) {
	found = false; at = 0;
	do
	:: line[at] == 0 || line[at] == who -> break
	:: else ->
#ifdef DEAD_COUNT
		found = true;
#else
		found = found || !(dead[line[at]] || ended[line[at]]);
#endif
		at++
	od
}

inline leave_line(who) {
	at = 0; shift = 0;
	do
	:: at + shift >= WAITERS -> break
	:: else ->
		if
		:: line[at + shift] == who -> shift++
		:: else -> line[at] = line[at + shift]; at++
		fi
	od;
	do :: at == WAITERS -> break :: else -> line[at] = 0; at++ od;
	at = 0; shift = 0
}

inline grant(who) {
	assert(is_free);			/* never two */
	assert(!ended[who]);			/* never after it left */
	holder = who;
	leave_line(who);
	event()
}

proctype Waiter(byte me) {
	byte at, shift;
	bool found, in_line, seems_ours;
	do
	:: ended[me] -> break
	:: dead[me] -> break
	:: else ->
		atomic {					/* waiting.join */
			look_ahead(me);
			if
			:: ended[me] || dead[me]
			:: !(ended[me] || dead[me]) && !found && is_free -> grant(me)
			:: !(ended[me] || dead[me]) && (found || !is_free) -> line[at] = me; event()
			fi;
			in_line = (holder != me) && !ended[me] && !dead[me]; found = false; at = 0
		};
		do
		:: !in_line -> break
		:: in_line ->
#ifdef NO_TIMER
			atomic { changed[me] || dead[me] -> changed[me] = false };
#endif
			if
			:: dead[me] -> goto over
			:: else
			fi;
			atomic { look_ahead(me); seems_ours = !found; found = false; at = 0 };
			atomic { seems_ours = seems_ours && is_free };
			if
			:: !seems_ours
			:: seems_ours ->
				atomic {			/* Place._take, under the guard */
					look_ahead(me);
					if
					:: dead[me]
#ifdef NO_RECHECK
					:: !dead[me] -> grant(me); in_line = false
#else
#ifndef NOT_LEFT
					:: !dead[me] && line[at] != me && !found -> in_line = false	/* GaveUpError */
#endif
					:: !dead[me] && (found || !is_free)
#ifdef NOT_LEFT
					:: !dead[me] && !found && is_free -> grant(me); in_line = false
#else
					:: !dead[me] && line[at] == me && !found && is_free -> grant(me); in_line = false
#endif
#endif
					fi;
					found = false; at = 0
				}
			fi;
			seems_ours = false
		:: in_line -> atomic {				/* Place.leave: its time is over */
				if :: dead[me] :: else -> leave_line(me); event() fi;
				in_line = false
			}
		od;
		atomic {
			if
			:: holder == me && !dead[me] -> holder = NOBODY; event()
			:: else
			fi
		}
	od;
over:	skip
}

/* Locks by hand without waiting: `queue.decide` */
proctype Newcomer() {
	byte at;
	bool found;
	do
	:: atomic {
		look_ahead(NEWCOMER); at = 0;
#ifdef PASSES
		found = false;
#endif
		is_free && !found -> grant_newcomer: holder = NEWCOMER; event()
	   };
	   atomic { holder = NOBODY; event() }
	od
}

/* kill -9 makes no event; what is on disk stays. The end of a session is one */
proctype Fate() {
	byte at, shift, who;
end:	do
	:: atomic { deaths < DEATHS -> select (who : 1 .. WAITERS); dead[who] = true; deaths++; who = 0 }
	:: atomic { ends < 1 ->
		ends++;
		select (who : 1 .. WAITERS);
		ended[who] = true;
		leave_line(who);
		if :: holder == who -> holder = NOBODY :: else fi;
		event(); who = 0 }
	od
}

init { atomic { run Waiter(1); run Waiter(2); run Waiter(3); run Newcomer(); run Fate() } }

#else
/* Each has one lock and wants the next one's: all around, or `queue.cycle` finds it and one of them does not wait */
byte owner[WAITERS + 1];
byte wanted[WAITERS + 1];

proctype Agent(byte me) {
	byte next = me % WAITERS + 1;
	byte whom;
	bool circle;
	atomic { owner[me] == NOBODY -> owner[me] = me };
	atomic {
		whom = owner[next];
		do
		:: whom == NOBODY || whom == me || wanted[whom] == 0 -> break
		:: else -> whom = owner[wanted[whom]]
		od;
		circle = (whom == me && owner[next] != me);
#ifdef NO_CIRCLE_CHECK
		circle = false;
#endif
		if
		:: circle
		:: !circle && owner[next] == NOBODY -> owner[next] = me
		:: !circle && owner[next] != NOBODY -> wanted[me] = next
		fi;
		whom = 0
	};
	if
	:: wanted[me] -> atomic { owner[next] == NOBODY -> owner[next] = me; wanted[me] = 0 }
	:: else
	fi;
	atomic { if :: owner[next] == me -> owner[next] = NOBODY :: else fi };
	atomic { if :: owner[me] == me -> owner[me] = NOBODY :: else fi }
}

init { atomic { run Agent(1); run Agent(2); run Agent(3) } }
#endif

/* The transaction: guard, intent, apply, log, recovery, takeover. Steps are the file operations of `Transaction.commit`
   and `recover` (agentsync/store/store.py), decisions those of `locks.decide` and `release` (agentsync/core/locks.py).

   Two or more agents want `src/` and `src/app.py`, which conflict; so a takeover may drop one name and put another. At
   any step, as often as it likes, a command may be killed: the kernel frees the guard, what is on disk stays, and the agent
   may run another command. At any moment an agent may fall silent, so that its locks are not live, or give a sign of life,
   and they are again. (To die is to be silent and do nothing more: that is one of these runs.)

   With CALM all this ends at some moment, and then nobody may be stuck.

   Broken on purpose, each a -D: NO_GUARD NO_INTENT LOG_FIRST NO_RECOVERY LISTED_HEAD NO_DROP PUT_FIRST OLD_TOKEN
   EARLY_ANSWER; of CALM: KEPT_GUARD */

#ifndef AGENTS
#define AGENTS 2
#endif
#ifndef EVENTS
#define EVENTS 4
#endif
#define NOBODY 0
#define DIR 0				/* locks/src%2F.json */
#define FILE 1				/* locks/src%2Fapp.py.json */
#define bit(n) (1 << (n))

typedef Lock { byte holder; byte token }
typedef Event {
	byte rev;			/* 0: there is none */
	byte drop;			/* names to drop, a bit each */
	bool puts; bit key; byte holder; byte token;
	byte tell			/* agents to be told that a lock of theirs was taken over, a bit each */
}

/* On disk */
byte guard = NOBODY;
Event intent;
Lock locks[2];
byte inbox;
bool log[EVENTS + 2];

/* The world */
bool silent[AGENTS + 1];
#ifdef CALM
bool calm;				/* from here on nothing happens to anybody; so who stands still does so for ever */
#else
#define calm false
#endif

/* What was promised; no process reads it */
byte committed;				/* the newest revision whose commit point has passed */
Lock should[2];				/* the locks, had each committed event been carried out at once */
byte should_inbox;
bool applied[EVENTS + 2];
byte answered;				/* revisions that were acknowledged, a bit each */
byte greatest;				/* token of the latest grant */

#define conflict	(locks[DIR].holder && locks[FILE].holder && locks[DIR].holder != locks[FILE].holder)
#define as_promised	(locks[DIR].holder == should[DIR].holder && locks[DIR].token == should[DIR].token \
			&& locks[FILE].holder == should[FILE].holder && locks[FILE].token == should[FILE].token \
			&& inbox == should_inbox)

/* One operation on files; or the process is killed before it */
#define step(operation) if :: atomic { operation } :: !calm -> goto killed fi

inline set(record, who, what) { record.holder = who; record.token = what }

inline copy(from, to) {
	to.rev = from.rev; to.drop = from.drop; to.puts = from.puts; to.key = from.key;
	to.holder = from.holder; to.token = from.token; to.tell = from.tell
}

inline forget(event) {
	event.rev = 0; event.drop = 0; event.puts = false; event.key = 0; event.holder = 0; event.token = 0; event.tell = 0
}

/* Ghost: from here on the change will happen, whoever finishes it */
inline promise(event) {
	assert(event.rev == committed + 1);			/* dense, none twice */
	committed = event.rev;
	if :: event.drop & bit(DIR) -> set(should[DIR], NOBODY, 0) :: else fi;
	if :: event.drop & bit(FILE) -> set(should[FILE], NOBODY, 0) :: else fi;
	if
	:: event.puts ->
		if
		:: should[event.key].holder == event.holder && should[event.key].token == event.token -> skip	/* renewed */
		:: else -> assert(event.token > greatest); greatest = event.token
		fi;
		set(should[event.key], event.holder, event.token)
	:: else
	fi;
	should_inbox = should_inbox | event.tell
}

inline put_lock() {
	if :: event.puts -> step(set(locks[event.key], event.holder, event.token)) :: else fi
}

/* Transaction._apply, without its last line */
inline apply() {
#ifdef PUT_FIRST
	put_lock();
#endif
	if :: event.drop & bit(DIR) -> step(set(locks[DIR], NOBODY, 0)) :: else fi;
	if :: event.drop & bit(FILE) -> step(set(locks[FILE], NOBODY, 0)) :: else fi;
#ifndef PUT_FIRST
	put_lock();
#endif
	if :: event.tell -> step(inbox = inbox | event.tell) :: else fi;
	atomic { applied[event.rev] = true }
}

/* files.rename(INTENT, log/<rev>) */
inline publish() {
	step(assert(intent.rev == event.rev); forget(intent); log[event.rev] = true)
}

/* store.log.head: a listing may miss what it likes, but not all; then by exact names */
inline find_head() {
	atomic {
		head = 0;
		do :: log[head + 1] -> head++ :: head > 0 || !log[1] -> break od
	};
#ifndef LISTED_HEAD
	do :: log[head + 1] -> head++ :: else -> break od
#endif
}

/* locks.decide: all or nothing, and what is not live gives way */
inline decide_lock(k) {
	event.puts = true; event.key = k; event.holder = me; event.token = head + 1;
	if
	:: locks[k].holder == me && !silent[me] -> event.token = locks[k].token
#ifdef OLD_TOKEN
	:: locks[k].holder != me && locks[k].holder -> event.token = locks[k].token
#endif
	:: else
	fi;
	other = DIR;
	do
	:: other > FILE -> break
	:: else ->
		if
		:: locks[other].holder == NOBODY || locks[other].holder == me
		:: else ->
			if
			:: !silent[locks[other].holder] -> forget(event); break	/* Conflict */
			:: else ->
				event.tell = event.tell | bit(locks[other].holder);
#ifndef NO_DROP
				if :: other != k -> event.drop = event.drop | bit(other) :: else fi
#endif
			fi
		fi;
		other++
	od;
	if :: event.puts -> event.rev = head + 1 :: else fi;
	other = 0
}

inline decide_unlock(k) {
	if :: locks[k].holder == me -> event.drop = bit(k); event.rev = head + 1 :: else fi
}

proctype Agent(byte me) {
	byte head, other;
	Event event;
	do
	:: committed == EVENTS -> break
	:: else ->
#ifndef NO_GUARD
		step(guard == NOBODY -> guard = me);
#endif
		find_head();

		/* Transaction.recover */
#ifndef NO_RECOVERY
		atomic { copy(intent, event) };
		if
		:: event.rev == 0
		:: event.rev && event.rev <= head -> step(forget(intent))
		:: event.rev > head -> apply(); publish(); head = event.rev
		fi;
		atomic { forget(event) };
#endif
		if
		:: head == EVENTS -> skip				/* the model ends here */
		:: else ->
			/* Decide on what is on disk now; asking is a sign of life, but what had lapsed had lapsed */
			atomic {
				assert(as_promised);			/* nothing half done is ever decided upon */
				if
				:: true -> decide_lock(DIR)
				:: true -> decide_lock(FILE)
				:: true -> decide_unlock(DIR)
				:: true -> decide_unlock(FILE)
				fi;
				silent[me] = false
			};
			if
			:: event.rev == 0				/* refused, or nothing to do */
			:: else ->
#ifdef EARLY_ANSWER
				atomic { answered = answered | bit(event.rev) };
#endif
#ifdef NO_INTENT
				apply();
				step(promise(event); assert(!log[event.rev]); log[event.rev] = true);
#else
				/* The commit point: link(tmp, intent.json), for which nothing may be in the way */
				step(assert(!log[event.rev] && intent.rev == 0); copy(event, intent); promise(event));
#ifdef LOG_FIRST
				publish();
				apply();
#else
				apply();
				publish();
#endif
#endif
			fi
		fi;
#ifdef KEPT_GUARD
		if :: event.rev == 0 -> goto next :: else fi;
#endif
#ifndef NO_GUARD
		step(guard = NOBODY);
#endif
		atomic {
			if :: event.rev -> answered = answered | bit(event.rev) :: else fi;
			forget(event); head = 0; other = 0
		};
		goto next;
killed:		atomic {
			if :: guard == me -> guard = NOBODY :: else fi;
			forget(event); head = 0; other = 0
		};
next:		skip
	od
}

proctype Clock() {
	byte who;
end:	do
	:: atomic { select (who : 1 .. AGENTS); silent[who] = !silent[who]; who = 0 }
#ifdef CALM
	:: calm = true; break
#endif
	od
}

/* Whoever looks, without the guard, at any moment */
proctype Reader() {
	byte rev;
	atomic {
		assert(!conflict);			/* so there are never two live holders */
		assert(!(guard == NOBODY && intent.rev == 0) || as_promised);	/* all or nothing */
		rev = 1;
		do
		:: rev > EVENTS -> break
		:: else ->
			assert(!log[rev] || applied[rev]);		/* seen in the log: it has been applied */
			assert(!log[rev + 1] || log[rev]);		/* no gap */
			assert(!(answered & bit(rev)) || log[rev]);	/* acknowledged: it is in the log */
			rev++
		od;
		rev = 0
	}
}

init {
	byte who;
	atomic {
		who = 1;
		do :: who > AGENTS -> break :: else -> run Agent(who); who++ od;
		run Clock(); run Reader()
	}
}

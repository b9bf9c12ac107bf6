/* Reading without the guard while others write, fold the log and die. One Writer stands for all who take the guard in turn
   (transaction.pml shows that they do); when it is killed, it goes on as whoever takes the guard next.

   Each event writes its revision into two records. The newest KEEP events stay in the log; two older ones or more are
   folded (`compact._fold`). The reader, one kind at a time: FOLLOW is `log.since`, BACKWARDS `log.backwards`, MOMENT what
   schema/FORMAT.md tells those to do who need one moment. A listing asks for each name at a moment of its own, upwards or
   downwards, so it may miss what came or went meanwhile.

   Broken on purpose, each a -D: UNLINK_FIRST NO_SECOND_LOOK; and what the code once did: LOG_LAST LISTED_FOLD */

#ifndef EVENTS
#define EVENTS 5
#endif
#ifndef KEEP
#define KEEP 1
#endif

#define bit(rev)	(1 << (rev))
#define logged(rev)	((log >> (rev)) & 1)
#define archived(rev)	((archive >> (rev)) & 1)
#define up_to(rev)	(bit((rev) + 1) - 1)

/* On disk */
byte intent;				/* its revision; 0: there is none */
byte records[2];
short log;				/* revisions, a bit each */
short archive;				/* the same, of all archives together: they stay for ever */

/* No process relies on it */
byte written;				/* newest event that came into the log */
byte applied;				/* newest event of which all changes were carried out */
bool ended;

/* One operation on files; or the process is killed before it */
#define step(operation) if :: atomic { operation } :: goto killed fi

/* ------------------------------------------------------------ under the guard */
inline finish() {
	step(records[0] = intent);
	step(records[1] = intent; applied = intent);
	step(log = log | bit(intent); written = intent; intent = 0)
}

inline unlink_logged(which) {		/* oldest first */
	r = 1;
	do
	:: r > EVENTS -> break
	:: else -> if :: logged(r) && (which & bit(r)) -> step(log = log & ~bit(r)) :: else fi; r++
	od
}

proctype Writer() {
	byte r;
	short fold, old;
	do
	:: written == EVENTS && intent == 0 -> break
	:: else ->
		if
		:: intent -> finish()				/* Transaction.recover */
		:: else
		fi;
		if
		:: written < EVENTS -> step(intent = written + 1); finish()
		:: true ->
			/* What is archived already: a run died between link and unlink */
			atomic {
				r = EVENTS;
				do :: r == 0 || archived(r) -> break :: else -> r-- od;
				old = up_to(r)
			};
			unlink_logged(old);
			atomic { fold = (written > KEEP -> log & up_to(written - KEEP) & ~old : 0) };	/* asked for by name */
#ifdef LISTED_FOLD
			atomic { select (r : 0 .. EVENTS); fold = fold & ~bit(r); r = 0 };
#endif
			if
			:: (fold & (fold - 1)) == 0		/* fewer than two */
			:: else ->
#ifdef UNLINK_FIRST
				unlink_logged(fold);
#endif
				step(archive = archive | fold);
				unlink_logged(fold)
			fi
		fi;
killed:		atomic { r = 0; fold = 0; old = 0; assert((((log | archive) | 1) & up_to(written)) == up_to(written)) }
	od;
	ended = true
}

/* ------------------------------------------------------------ without it */

/* The least and the greatest revision that a listing of the log shows, of those greater than `after`; 0: none */
inline list_log(after, least, greatest) {
	least = 0; greatest = 0;
	if
	:: true ->
		r = after + 1;
		do
		:: atomic { r <= EVENTS && logged(r) -> greatest = r; if :: least == 0 -> least = r :: else fi; r++ }
		:: atomic { r <= EVENTS && !logged(r) -> r++ }
		:: r > EVENTS -> break
		od
	:: true ->
		r = EVENTS;
		do
		:: atomic { r > after && logged(r) -> least = r; if :: greatest == 0 -> greatest = r :: else fi; r-- }
		:: atomic { r > after && !logged(r) -> r-- }
		:: r <= after -> break
		od
	fi;
	r = 0
}

/* store.log.head */
inline find_head(head) {
	list_log(0, least, head);
	if
	:: head -> skip
	:: else -> atomic { head = EVENTS; do :: head == 0 || archived(head) -> break :: else -> head-- od }
	fi;
	do
	:: atomic { logged(head + 1) -> head++ }
	:: atomic { !logged(head + 1) -> break }
	od;
	least = 0
}

#ifdef FOLLOW
/* Gets each event once, in order, none of them missing, none before it was applied; and all of them in the end */
proctype Reader() {
	byte wanted = 1, later, greatest, r;
	bool last_pass, in_log, in_archive;
	do
	:: wanted > EVENTS -> break
	:: else ->
		assert(!last_pass);				/* all was written, and a pass did not find it */
		last_pass = ended;
		do
		:: wanted > EVENTS -> break
		:: else ->
			atomic { in_log = logged(wanted); if :: in_log -> assert(wanted <= applied) :: else fi };
			if
			:: in_log
			:: else -> atomic { in_archive = archived(wanted); assert(!in_archive || wanted <= applied) }
			fi;
			if
			:: in_log || in_archive -> wanted++
			:: else ->
				list_log(wanted, later, greatest);
				if
				:: later == 0 -> break
				:: else				/* there are newer ones, so it was written */
				fi;
				greatest = 0; later = 0;
#ifndef NO_SECOND_LOOK
#ifdef LOG_LAST
				atomic { in_archive = archived(wanted) };
				atomic { in_log = logged(wanted) };
#else
				atomic { in_log = logged(wanted) };
				if :: in_log :: else -> atomic { in_archive = archived(wanted) } fi;
#endif
#endif
				assert(in_log || in_archive)	/* else it is passed over as a gap that somebody made by hand */
			fi;
			in_log = false; in_archive = false
		od
	od
}
#endif

#ifdef BACKWARDS
/* Gets all events that there were when it began, each once, the newest first */
proctype Reader() {
	byte least, newest, oldest, first_there, r, greatest;
	byte began = written;
	bool found;
	find_head(newest);
	assert(newest >= began);
	list_log(0, first_there, greatest);
	if :: first_there == 0 -> first_there = newest + 1 :: else fi;
	oldest = newest + 1;
	r = newest;
	do
	:: r >= first_there && r > 0 ->
		atomic { found = logged(r); if :: found -> assert(r == oldest - 1 && r <= applied) :: else fi };
		if :: found -> oldest = r :: else fi;
		r--
	:: else -> break
	od;
	/* All archives, of which older events are wanted: they are there for ever, so one look tells */
	assert((up_to(oldest - 1) & ~1 & ~archive) == 0)
}
#endif

#ifdef MOMENT
/* If the head is the same before and after, and no intent at either time, then what was read is of that one revision */
proctype Reader() {
	byte least, head, again, r, first, second;
	bool busy;
	find_head(head);
	atomic { busy = (intent != 0) };
	if :: busy -> goto in_vain :: else fi;
	atomic { first = records[0] };
	atomic { second = records[1] };
#ifndef NO_SECOND_LOOK
	atomic { busy = (intent != 0) };
	if :: busy -> goto in_vain :: else fi;
#endif
	find_head(again);
	if :: again != head -> goto in_vain :: else fi;
	assert(first == second && first == head);
in_vain: skip
}
#endif

init { atomic { run Writer(); run Reader() } }

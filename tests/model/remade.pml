/* The state directory is deleted and made anew under processes that live on: a library's board, a waiting command, `watch`.
   What is deleted is all below it; the directory may stay, or get the inode it had, so the inode tells nothing. It goes
   between two transactions: schema/FORMAT.md does not promise more, and ANY_MOMENT shows that more cannot be had.

   Writer is `Store.transaction`, with `setup.create` and `setup.verified_format`; Follower is `watch.Follower.events`.
   Broken on purpose, each a -D: ANY_MOMENT ONE_LOOK; and what the code once did: KEPT_FORMAT OLD_LOOK */

#ifndef STORES
#define STORES 3
#endif
#ifndef EVENTS
#define EVENTS 2
#endif

/* On disk */
byte format;				/* its `store`; 0: there is none */
byte guard;
byte guard_file = 1;			/* who flocks a deleted one begins again (`Guard._is_current`) */
byte head;				/* log/1 to log/<head> are there, all of this store */

#ifdef ANY_MOMENT
#define may_delete true
#else
#define may_delete (guard == 0)
#endif

byte stores;				/* ids given so far; no two are the same */
byte granted[STORES + 1];		/* by store: the token granted last */
bool ended;

proctype Writer(byte me) {
	byte known, next, mine;
	do
	:: stores == STORES && head >= EVENTS -> break
	:: head < EVENTS || stores < STORES ->
		/* setup.create, without the guard: the first one links it */
		atomic { if :: format == 0 && stores < STORES -> stores++; format = stores :: else fi };
		atomic { (guard == 0) || (stores == STORES && head >= EVENTS) -> guard = me; mine = guard_file };
		/* setup.verified_format */
		atomic {
#ifdef KEPT_FORMAT
			if :: known && format :: else
#endif
			if :: format == 0 && stores < STORES -> stores++; format = stores :: else fi; known = format
#ifdef KEPT_FORMAT
			fi
#endif
			;
			next = head + 1
		};
		if
		:: known == 0 || next > EVENTS			/* the model ends here */
		:: else ->
			/* The commit, a grant with a token of its own */
			atomic {
				assert(known == format);	/* a token names the store in which it was granted */
				assert(next == head + 1);	/* and no gap */
				assert(next > granted[known]);	/* and is greater than those before */
				granted[known] = next; head = next
			}
		fi;
		atomic { if :: guard == me && mine == guard_file -> guard = 0 :: else fi; next = 0; mine = 0
#ifndef KEPT_FORMAT
			; known = 0
#endif
		}
	od;
	ended = true
}

proctype Delete() {
end:	do
	:: atomic { stores < STORES && format && may_delete -> format = 0; head = 0; guard = 0; guard_file++ }
	od
}

/* Follower._is_same_state; whether the last event still holds is a look of its own */
inline look() {
	atomic { before = seen; seen = format; same = (seen && seen == before) };
#ifdef OLD_LOOK
	atomic { same = true; if :: seen == 0 -> seen = before :: else fi };
#endif
	if
	:: seen && seen != before ->
		atomic {
			if
			:: known && known != seen && !(last_of && last_of == format && cursor <= head) ->
				cursor = 0; last_of = 0; same = false
			:: else
			fi;
			known = seen
		}
	:: else
	fi;
	before = 0
}

/* Gets a beginning of each store's events, in order: none of them twice, none left out, and none of an older store after */
proctype Follower() {
	byte seen, known, last_of, cursor;		/* last_of, cursor: the event that came last */
	byte of_store, before;
	bool same, last_pass;
	do
	:: last_of == STORES && cursor == EVENTS -> break
	:: else ->
		assert(!last_pass);
		last_pass = ended && known == format && seen == format;
		look();
		atomic { of_store = (cursor < head -> format : 0) };		/* log.since: the next one by name */
		if
		:: of_store == 0
		:: else ->
			look();
#ifdef ONE_LOOK
			same = true;
#endif
			if
			:: same ->
				assert(of_store >= last_of && (last_of == of_store || cursor == 0));
				last_of = of_store; cursor++
			:: else
			fi;
			last_pass = false; of_store = 0
		fi;
		same = false
	od
}

init { atomic { run Writer(1); run Writer(2); run Delete(); run Follower() } }

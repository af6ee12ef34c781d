/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol by which no row is ever lost, as a model for Spin: rotation,
 * activation, programs that write, re-encryption, census, retirement and
 * destruction, all at once, each of ours killed at any step and begun again.
 *
 *     spin -run -safety rows.pml
 *
 * A row is the version of its data key and its text. That its bytes are not the
 * old ones any more is a bit for who read them: two writes never make the same
 * bytes, for their nonces differ.
 * docs/model/README.md says what each part stands for, and what leaving out a
 * rule costs: NO_COMPARE, NO_FENCE, NO_CENSUS, EARLY.
 */
#define ROWS     2
#define VERSIONS 3
#ifndef WRITERS
#define WRITERS  1
#endif
#define KILLS    1
#define WRITES   2 /* of each writer: they end, so that the model is finite */
#define NOBODY   0

mtype = { none, made, in_use, retired, destroyed };

/* --- what outlives a crash: the key file and the table ------------------- */

mtype state[VERSIONS + 1] = none; /* [0] is not used */
byte newest_made = 1;

typedef row_t {
    byte version;
    byte text;
}
row_t row[ROWS];
bit changed[ROWS]; /* since the re-encryption read it */

/* What programs wrote last: not in the system, but in the eye of the reader. */
byte truth[ROWS];

/* How often anything of ours is still killed. */
byte kills = KILLS;

/* --- what a process has of the key file ----------------------------------- */

/* The version that it encrypts with; it may be an older one than the file's. */
byte seen[WRITERS + 1] = 1; /* the last is the re-encryption's */
/* The version under which bytes are made that are not in the table yet. */
byte at_hand[WRITERS + 1] = NOBODY;
#define REENCRYPTION WRITERS

inline newest_active(out)
{
    out = VERSIONS;
    do
    :: out > 1 && state[out] != in_use -> out--
    :: else -> break
    od
}

/* Whoever reads, reads it. */
#define opens(r) (state[row[r].version] == in_use)
#define all_open (opens(0) && opens(1))

/* --- programs -------------------------------------------------------------- */

proctype writer(byte self)
{
    byte count = 0;
    byte r = 0;
    byte version = 0;
    do
    :: count == WRITES -> break
    :: count < WRITES ->
        /* A look at the key file: once a second, or not yet. */
        if
        :: d_step { newest_active(version); seen[self] = version; version = 0 }
        :: skip
        fi;
        if
        :: r = 0
        :: r = ROWS - 1
        fi;
        atomic { at_hand[self] = seen[self] };
        /* The program goes on to its database. */
        d_step {
            row[r].version = at_hand[self];
            row[r].text = row[r].text + 1;
            changed[r] = 1;
            truth[r] = row[r].text;
            at_hand[self] = NOBODY;
            assert(all_open);
            count++;
            r = 0
        }
    od;
    /* It goes on looking at the file for as long as it lives. */
    do
    :: seen[self] == VERSIONS -> break
    :: seen[self] < VERSIONS ->
        d_step { newest_active(version); seen[self] = version; version = 0 }
    od
}

/* --- re-encryption: read, decrypt, encrypt, compare, write if unchanged ---- */

proctype reencrypt()
{
    byte r = 0;
    byte version = 0;
    byte old_text = 0;
    do
    :: seen[REENCRYPTION] == VERSIONS -> break
    :: seen[REENCRYPTION] < VERSIONS ->
        d_step { newest_active(version); seen[REENCRYPTION] = version };
        do
        :: r == ROWS -> break
        :: r < ROWS && row[r].version >= version -> r++
        :: r < ROWS && row[r].version < version ->
            d_step {
                old_text = row[r].text;
                changed[r] = 0;
                at_hand[REENCRYPTION] = version
            };
            if
            :: skip
            :: d_step { kills > 0 -> kills--; r = ROWS } /* nothing is left */
            fi;
            d_step {
                if
                :: r == ROWS -> skip
#ifdef NO_COMPARE
                :: r < ROWS ->
#else
                :: r < ROWS && !changed[r] ->
#endif
                    row[r].version = version;
                    row[r].text = old_text;
                    assert(row[r].text == truth[r]);
                    assert(all_open)
                :: else -> skip /* a program was faster: it is read again */
                fi;
                at_hand[REENCRYPTION] = NOBODY;
                old_text = 0
            }
        od;
        r = 0;
        version = 0
    od
}

/* --- the administrator ------------------------------------------------------ */

/*
 * A version is used once it is durable and was unwrapped again; its time may
 * come later, so that a fleet has the file by then. What is not durable may be
 * gone after a crash.
 */
#ifdef EARLY
#define AT_FIRST in_use
#else
#define AT_FIRST made
#endif

proctype rotate()
{
    do
    :: newest_made == VERSIONS -> break
    :: newest_made < VERSIONS ->
        state[newest_made + 1] = AT_FIRST;
        if
        :: d_step { newest_made++; state[newest_made] = in_use }
        :: d_step {
               kills > 0 -> kills--;
               state[newest_made + 1] = none;
               assert(all_open)
           }
        fi
    od
}

/*
 * Nobody encrypts with the version any more: every process has seen its
 * successor, and what was made under it is in the table. In the system this is
 * time: a version is not retired until it was not the newest one for longer
 * than a look at the file and a transaction may take.
 */
#define is_done_with(p, v) (seen[p] > v && at_hand[p] != v)
inline fence(v)
{
#ifndef NO_FENCE
    is_done_with(0, v) && is_done_with(1, v) && is_done_with(WRITERS, v)
#else
    skip
#endif
}

/* The table is read row by row, while it changes. */
inline census(v, found)
{
    byte c = 0;
    found = 0;
#ifndef NO_CENSUS
    do
    :: c == ROWS -> break
    :: c < ROWS && row[c].version == v -> found++; c++
    :: c < ROWS && row[c].version != v -> c++
    od;
    c = 0
#endif
}

/* One version after the other: these are under the lock of the key file. */
proctype retire()
{
    byte found = 0;
    byte newest = 0;
    byte v = 1;
    do
    :: v == VERSIONS -> break
    :: v < VERSIONS ->
        do
        :: newest > v -> break
        :: newest <= v -> d_step { newest_active(newest); skip }
        od;
        newest = 0;
        fence(v);
        do
        :: true ->
            census(v, found);
            if
            :: found > 0 -> found = 0 /* refused: try again */
            :: found == 0 -> break
            fi
        od;
        found = 0;
        d_step { state[v] = retired; assert(all_open) };
        /* The hold time passes, in which undo would make it active again. */
        state[v] = destroyed;
        v++
    od
}

init
{
    byte i = 0;
    d_step {
        state[1] = in_use;
        do
        :: i == ROWS -> break
        :: i < ROWS ->
            row[i].version = 1;
            i++
        od;
        i = 0
    };
    atomic {
        do
        :: i == WRITERS -> break
        :: i < WRITERS -> run writer(i); i++
        od;
        run reencrypt();
        run rotate();
        run retire()
    }
}

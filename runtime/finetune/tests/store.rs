//! Power goes at every write and every erasure in turn: what was learned before or what was to be saved is there, and draws.

#[path = "../../tests/shared/deltas.rs"]
#[allow(dead_code, reason = "each test takes what it needs")]
mod deltas;
#[path = "shared/flash.rs"]
mod flash;
#[path = "../../tests/shared/programs.rs"]
#[allow(dead_code, reason = "each test takes what it needs")]
mod programs;

use deltas::{delta, factor, parts, replace};
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};
use flash::{Flash, Refusal, Tear};
use pocketgan_finetune::store::{Store, StoreError};
use pocketgan_format::{AlignedBytes, Delta, ValueType};
use pocketgan_runtime::{Generator, Latent, Model, dispatch};

/// A model and what it may have learned.
struct World {
    base: AlignedBytes,
    /// `None` is nothing learned. With each, the picture that it draws.
    states: Vec<(Option<AlignedBytes>, Vec<f32>)>,
}

/// What is asked of a store.
#[derive(Clone, Copy, Debug)]
enum Action {
    /// The state with this index.
    Save(usize),
    Revert,
    Factory,
}

impl World {
    fn new() -> Self {
        let program = programs::tap_gemms();
        let base = program.to_bytes().expect("a sound program");
        let model = Model::load(&base).expect("sound");
        let whole = |scale: f32| delta(model.file(), &parts(&program, |v| scale * v)[..1]);
        let learned = [
            delta(model.file(), &[(factor(3), ValueType::F32, vec![1.5; 8])]),
            whole(1.125),
            delta(model.file(), &[(replace(3), ValueType::F32, vec![-0.25; 8])]),
            whole(0.75),
        ];
        let states = core::iter::once(None).chain(learned.into_iter().map(Some));
        let states: Vec<_> = states.map(|learned| (draw(&base, learned.as_deref()), learned)).collect();
        let states: Vec<_> = states.into_iter().map(|(picture, learned)| (learned, picture)).collect();
        for (i, (_, picture)) in states.iter().enumerate() {
            assert!(states[..i].iter().all(|(_, other)| other != picture), "each draws a picture of its own");
        }
        Self { base, states }
    }

    fn bytes(&self, state: usize) -> &[u8] {
        self.states[state].0.as_deref().expect("a state with a delta")
    }

    /// Which state is in the flash: by its bytes, loaded and in place, and by the picture that it draws.
    fn state<const W: usize, const E: usize>(&self, flash: &Flash<W, E>) -> usize {
        let mut store = store(flash.clone());
        let mut buffer = AlignedBytes::copy(&[0; 1024]);
        let loaded = store.load(buffer.as_mut_slice()).expect("a slot can be read").map(AlignedBytes::copy);
        let place = store.active().map(|range| range.start as usize..range.end as usize);
        let mapped = place.map(|range| AlignedBytes::copy(&flash.mapped(range)));
        assert_eq!(loaded.as_deref(), mapped.as_deref());
        let same = |(state, _): &(Option<AlignedBytes>, _)| state.as_deref() == loaded.as_deref();
        let state = self.states.iter().position(same).expect("what is loaded was saved once");
        assert_eq!(draw(&self.base, loaded.as_deref()), self.states[state].1);
        state
    }

    fn act<const W: usize, const E: usize>(
        &self,
        flash: Flash<W, E>,
        action: Action,
    ) -> (Flash<W, E>, Result<(), StoreError<Refusal>>) {
        let mut store = store(flash);
        let result = match action {
            Action::Save(state) => store.save(self.bytes(state)),
            Action::Revert => store.revert().map(|_| ()),
            Action::Factory => store.factory(),
        };
        (store.release(), result)
    }

    /// The flash after an action with power, and how many operations it took.
    fn done<const W: usize, const E: usize>(
        &self,
        flash: &Flash<W, E>,
        action: Action,
    ) -> (Flash<W, E>, usize) {
        let (after, result) = self.act(flash.clone(), action);
        result.expect("power stays");
        let operations = after.operations - flash.operations;
        (after, operations)
    }

    /// The flash after an action that is cut.
    fn cut<const W: usize, const E: usize>(
        &self,
        flash: &Flash<W, E>,
        action: Action,
        at: usize,
        tear: Tear,
    ) -> Flash<W, E> {
        let (after, result) = self.act(flash.clone().cut_after(at, tear), action);
        assert!(result.is_err(), "{action:?} goes on without power");
        after.restored()
    }
}

fn store<const W: usize, const E: usize>(flash: Flash<W, E>) -> Store<Flash<W, E>> {
    let sectors = (flash.capacity() / E) as u32;
    // A sector on either side is another's.
    Store::new(flash, E as u32..(sectors - 1) * E as u32)
}

fn draw(base: &[u8], learned: Option<&[u8]>) -> Vec<f32> {
    let mut model = Model::load(base).expect("sound");
    if let Some(learned) = learned {
        model = model.with_delta(Delta::parse(learned).expect("undamaged"), 10.0).expect("it fits");
    }
    let mut arena = [0.0; 48];
    let mut generator = Generator::with_kernels(&model, &mut arena, dispatch::exact()).expect("long enough");
    generator.generate(Latent::from_seed(7)).values.to_vec()
}

/// Actions that lead to each kind of flash that a store may find.
const BEFORE: [&[Action]; 6] = [
    &[],
    &[Action::Save(1)],
    &[Action::Save(1), Action::Save(2)],
    &[Action::Save(1), Action::Save(2), Action::Save(3)],
    &[Action::Save(1), Action::Save(2), Action::Revert],
    &[Action::Save(1), Action::Save(2), Action::Factory],
];

const ACTIONS: [Action; 3] = [Action::Save(4), Action::Revert, Action::Factory];

/// Cuts every action at every operation, and if `twice` every action after that, too. Returns the number of cuts.
fn cuts<const W: usize, const E: usize>(sectors: usize, twice: bool) -> usize {
    let world = World::new();
    let mut cuts = 0;
    for (before, first) in BEFORE.into_iter().flat_map(|before| ACTIONS.map(|first| (before, first))) {
        let flash =
            before.iter().fold(Flash::<W, E>::new(sectors), |flash, &action| world.done(&flash, action).0);
        let (after, operations) = world.done(&flash, first);
        let allowed = [world.state(&flash), world.state(&after)];
        for (at, tear) in (0..operations).flat_map(|at| Tear::ALL.map(|tear| (at, tear))) {
            let flash = world.cut(&flash, first, at, tear);
            let old = world.state(&flash);
            cuts += 1;
            assert!(
                allowed.contains(&old),
                "{before:?}, {first:?} cut at {at}, {tear:?}: {old} of {allowed:?}"
            );
            for second in [Action::Save(3), Action::Revert, Action::Factory] {
                let (after, operations) = world.done(&flash, second);
                let new = world.state(&after);
                match second {
                    Action::Save(saved) => {
                        assert_eq!(new, saved, "{before:?}, {first:?} cut at {at}, {tear:?}")
                    }
                    Action::Factory => assert_eq!(new, 0, "{before:?}, {first:?} cut at {at}, {tear:?}"),
                    Action::Revert => {}
                }
                // The second time power goes a word later each time, and leaves what the first did not.
                let other = Tear::ALL[(at + 1) % Tear::ALL.len()];
                for again in 0..if twice { operations } else { 0 } {
                    let found = world.state(&world.cut(&flash, second, again, other));
                    cuts += 1;
                    assert!(
                        [old, new].contains(&found),
                        "{before:?}, {first:?} cut at {at}, {tear:?}, then {second:?} cut at {again}, {other:?}: {found}"
                    );
                }
            }
        }
    }
    println!("words of {W}, sectors of {E}: {cuts} cuts");
    cuts
}

#[test]
fn a_cut_leaves_the_old_or_the_new() {
    // Four sectors are two slots of one; six, of two.
    let all = [
        cuts::<1, 4096>(4, false),
        cuts::<4, 4096>(4, true),
        cuts::<8, 4096>(6, true),
        cuts::<32, 4096>(6, true),
        cuts::<1, 131_072>(4, false),
        cuts::<4, 131_072>(4, false),
        cuts::<8, 131_072>(4, false),
        cuts::<32, 131_072>(4, true),
    ];
    println!("{} cuts in all", all.iter().sum::<usize>());
}

#[test]
fn what_is_saved_is_loaded() {
    let mut store = store(Flash::<32, 4096>::new(6));
    assert_eq!((store.capacity(), store.active()), (2 * 4096 - 32, None));
    let mut buffer = vec![0; store.capacity()];
    assert_eq!(store.load(&mut buffer), Ok(None));
    let bytes: Vec<u8> = (0..store.capacity() + 1).map(|i| (i * 37) as u8).collect();
    // Ragged ends, of words and of blocks, and a full slot.
    for len in (0..70).chain([255, 256, 257, 300, 4096, 4097, store.capacity() - 1, store.capacity()]) {
        store.save(&bytes[..len]).expect("it fits");
        assert_eq!(store.load(&mut buffer), Ok(Some(&bytes[..len])));
        let place = store.active().expect("just saved");
        assert!(place.len() == len && place.start.is_multiple_of(4096));
    }
    let error = store.save(&bytes).expect_err("a byte too long");
    assert_eq!(error, StoreError::TooLong { need: bytes.len(), have: bytes.len() - 1 });
    let need = store.capacity();
    let error = store.load(&mut buffer[1..]).expect_err("a byte too short");
    assert_eq!(error, StoreError::BufferTooSmall { need, have: need - 1 });
    assert_eq!(error.to_string(), "the delta has 8160 bytes, the buffer 8159");
    // Only its own sectors were touched.
    let flash = store.release();
    assert!(
        [0..4096, 5 * 4096..6 * 4096].into_iter().all(|range| flash.mapped(range).iter().all(|b| *b == 0xff))
    );
}

#[test]
fn reverting_goes_back_one_and_then_to_the_base() {
    let mut store = store(Flash::<4, 4096>::new(4));
    let mut buffer = [0; 64];
    for delta in [b"one", b"two", b"six"] {
        store.save(delta).expect("it fits");
    }
    assert!(store.revert().expect("power stays").is_some());
    assert_eq!(store.load(&mut buffer), Ok(Some(&b"two"[..])));
    store.save(b"ten").expect("it fits");
    assert_eq!(store.load(&mut buffer), Ok(Some(&b"ten"[..])));
    assert!(store.revert().expect("power stays").is_some());
    assert_eq!(store.load(&mut buffer), Ok(Some(&b"two"[..])));
    assert_eq!(store.revert(), Ok(None));
    assert_eq!((store.revert(), store.load(&mut buffer)), (Ok(None), Ok(None)));
    store.save(b"new").expect("it fits");
    assert_eq!(store.load(&mut buffer), Ok(Some(&b"new"[..])));
    store.factory().expect("power stays");
    let flash = store.release();
    assert!(flash.mapped(0..4 * 4096).iter().all(|byte| *byte == 0xff), "nothing that was learned is left");
}

#[test]
fn worn_flash_keeps_the_old() {
    // A bit of the data, the record's sequence number, and its padding, which nothing reads.
    for (at, worn) in [(2 * 4096 + 5, true), (3 * 4096 - 32 + 4, true), (3 * 4096 - 1, false)] {
        let mut store = store(Flash::<4, 4096>::new(4));
        store.save(b"the old one").expect("it fits");
        let mut flash = store.release();
        flash.stuck = Some((at, 0x20 | 1));
        let mut store = self::store(flash);
        let saved = store.save(&[0xff; 100]);
        assert_eq!(saved, if worn { Err(StoreError::Worn) } else { Ok(()) });
        let mut buffer = [0; 100];
        let expected = if worn { &b"the old one"[..] } else { &[0xff; 100] };
        assert_eq!(store.load(&mut buffer), Ok(Some(expected)));
    }
}

/// Saves once with a flash that does not show everything, cut at each operation in turn or not at all.
fn saves(world: &World, flash: &Flash<4, 4096>, old: usize, what: &str) {
    for at in 0..10_000 {
        let (after, result) = world.act(flash.clone().cut_after(at, Tear::Half), Action::Save(4));
        let (cut, found) = (after.operations - flash.operations > at, world.state(&after.restored()));
        match (cut, result) {
            (true, _) => assert!([old, 4].contains(&found), "{what}, cut at {at}: {found} of {old} and 4"),
            (false, Ok(())) => return assert_eq!(found, 4, "{what}"),
            (false, Err(error)) => return assert_eq!(found, old, "{what}: {error}"),
        }
    }
    panic!("{what}: no end");
}

#[test]
fn what_cannot_be_read_for_a_while_is_not_lost() {
    let world = World::new();
    let after =
        |before: &[Action]| before.iter().fold(Flash::new(4), |flash, &act| world.done(&flash, act).0);
    for before in BEFORE {
        let flash = after(before);
        // One read fails, whichever; there are fewer.
        for read in 0..20 {
            let mut fails = flash.clone();
            fails.glitch = Some(read);
            saves(&world, &fails, world.state(&flash), &format!("{before:?}, read {read} fails"));
        }
    }
    // All reads of the one slot that holds something: the first, or the second.
    let mut second = after(&[Action::Save(1), Action::Save(2)]);
    second.erase(4096, 2 * 4096).expect("power stays");
    for (mut flash, sector, old) in [(after(&[Action::Save(1)]), 1, 1), (second, 2, 2)] {
        assert_eq!(world.state(&flash), old);
        flash.hidden = sector..sector + 1;
        saves(&world, &flash, old, &format!("sector {sector} hidden"));
    }
}

/// A record as the store writes it, with a checksum that fits.
fn record(sequence: u32, len: u32, crc: u32) -> Vec<u8> {
    let words = [u32::from_le_bytes(*b"PGST"), sequence, len, crc].map(u32::to_le_bytes);
    let check = pocketgan_format::crc32(words).to_le_bytes();
    [words.as_flattened(), &check, &[0xff; 12]].concat()
}

/// Flash of two slots of a sector, with data and record in one of them.
fn forged(slot: u32, data: &[u8], record: &[u8]) -> Flash<4, 4096> {
    let mut flash = Flash::new(4);
    let start = (1 + slot) * 4096;
    flash.write(start, data).expect("erased");
    flash.write(start + 4096 - 32, record).expect("erased");
    flash
}

#[test]
fn sequence_numbers_wrap_around() {
    let mut buffer = [0; 64];
    let data = *b"the last";
    for slot in [0, 1] {
        let record = record(u32::MAX, 8, pocketgan_format::crc32([data]));
        let mut store = store(forged(slot, &data, &record));
        assert_eq!(store.load(&mut buffer), Ok(Some(&data[..])));
        store.save(b"the first").expect("it fits");
        assert_eq!(store.load(&mut buffer), Ok(Some(&b"the first"[..])));
        store.save(b"the second").expect("it fits");
        assert_eq!(store.load(&mut buffer), Ok(Some(&b"the second"[..])));
    }
}

#[test]
fn any_record_is_valid_or_not() {
    let data = [7; 16];
    let crc = pocketgan_format::crc32([data]);
    let sound = record(3, 16, crc);
    let mut others = vec![record(3, 17, crc), record(3, 16, !crc), vec![0; 32], vec![0xff; 32]];
    others.extend([4065, 1 << 31, u32::MAX].map(|len| record(3, len, crc)));
    others.extend((0..20 * 8).map(|bit| {
        let mut flipped = sound.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    }));
    for slot in [0, 1] {
        assert_eq!(
            store(forged(slot, &data, &sound)).active(),
            Some((1 + slot) * 4096..(1 + slot) * 4096 + 16)
        );
        for record in &others {
            let mut store = store(forged(slot, &data, record));
            assert_eq!(store.active(), None, "{record:?}");
            store.save(b"something").expect("it fits");
            assert_eq!(store.load(&mut [0; 64]), Ok(Some(&b"something"[..])));
        }
    }
}

#[test]
fn ranges_that_are_not_two_slots_are_refused() {
    for range in [0..0, 0..4096, 0..3 * 4096, 100..2 * 4096 + 100, 4096..5 * 4096, 0..2 * 4096 + 4] {
        let flash = Flash::<4, 4096>::new(4);
        assert!(std::panic::catch_unwind(|| Store::new(flash, range.clone())).is_err(), "{range:?}");
    }
}

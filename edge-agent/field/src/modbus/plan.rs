//! Which registers are read together.
//!
//! Points of one function and interval are sorted by address and joined while they touch (or lie within the profile's
//! gap), stay within one block and under the device's bound. A request that the device refuses is split, and the split
//! is kept ([`Learnt`]): devices refuse gaps and lengths that no manual names.
//!
//! Why each request says what keeps it from the one before: whoever tunes a slow bus wants to know what to change.

use super::learnt::Learnt;
use crate::profile::modbus::{MapPoint, ModbusMap};
use std::time::Duration;

/// One request, and the points that are in its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// 1 to 4.
    pub(crate) function: u8,
    /// The first wire address.
    pub(crate) first: u16,
    /// Registers or bits.
    pub(crate) count: u16,
    /// How often.
    pub(crate) interval: Duration,
    /// Numbers of the points in the map, by address.
    pub(crate) points: Vec<usize>,
}

/// What keeps a request apart from the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Apart {
    /// Nothing comes before it with its function and interval.
    Another,
    /// So many registers lie between, and the profile allows fewer.
    Gap { between: u32, allowed: u16 },
    /// So many registers lie between, and a second request costs less than reading more than so many along.
    Dear { between: u32, worth: u16 },
    /// The device bears no more in one request.
    Full { most: u16 },
    /// The profile names a hole between.
    Hole,
    /// The profile has a block's border between.
    Block,
    /// The device has refused them together.
    Learnt,
    /// The device refuses one of the two.
    Refused,
}

impl Apart {
    /// In plain words; `None` where there is nothing to explain.
    pub(crate) fn in_words(self) -> Option<String> {
        Some(match self {
            Self::Another => return None,
            Self::Gap { between, allowed: 0 } => {
                format!("{between} undocumented between: the profile allows no gap (max_gap)")
            }
            Self::Gap { between, allowed } => {
                format!("{between} undocumented between: the profile allows {allowed} (max_gap)")
            }
            Self::Dear { between, worth } => {
                format!("{between} between: on this line a second request costs less than more than {worth}")
            }
            Self::Full { most } => format!("the device bears {most} in one request"),
            Self::Hole => "the profile names a hole between (unreadable)".to_owned(),
            Self::Block => "the profile has a block's border between".to_owned(),
            Self::Learnt => "the device has refused them in one request".to_owned(),
            Self::Refused => "the device refuses one of them".to_owned(),
        })
    }
}

/// The requests that read all points of `map`, each with what keeps it from the one before. Gaps are read along up to
/// `worth` registers, if the profile allows it.
pub(crate) fn planned(map: &ModbusMap, worth: u16, learnt: &Learnt) -> Vec<(Request, Apart)> {
    let mut order: Vec<usize> = (0..map.points.len()).collect();
    order.sort_by_key(|n| {
        let point = &map.points[*n];
        (point.function, point.interval, point.address)
    });
    let mut requests: Vec<(Request, Apart)> = Vec::new();
    for n in order {
        let point = &map.points[n];
        let joined = match requests.last_mut() {
            None => Err(Apart::Another),
            Some((request, _)) => joined(map, worth, learnt, request, point).map(|count| {
                request.count = count;
                request.points.push(n);
            }),
        };
        if let Err(apart) = joined {
            let request = Request {
                function: point.function,
                first: point.address,
                count: point.length,
                interval: point.interval,
                points: vec![n],
            };
            requests.push((request, apart));
        }
    }
    requests
}

/// The requests alone.
pub(crate) fn requests(map: &ModbusMap, worth: u16, learnt: &Learnt) -> Vec<Request> {
    planned(map, worth, learnt).into_iter().map(|(request, _)| request).collect()
}

/// How many registers `request` has with `point` in it; else why it can't be.
fn joined(
    map: &ModbusMap,
    worth: u16,
    learnt: &Learnt,
    request: &Request,
    point: &MapPoint,
) -> Result<u16, Apart> {
    if request.function != point.function || request.interval != point.interval {
        return Err(Apart::Another);
    }
    let (end, most) = (u32::from(request.first) + u32::from(request.count), most(map, request.function));
    let last = (u32::from(point.address) + u32::from(point.length)).max(end);
    let refused = |address, count| learnt.refused(request.function, address, count);
    if refused(request.first, request.count) != refused(point.address, point.length) {
        return Err(Apart::Refused);
    }
    if learnt.cut_within(request.function, request.first, point.address) {
        return Err(Apart::Learnt);
    }
    let of_block = |address: u16| {
        map.blocks
            .iter()
            .position(|(table, first, last)| *table == point.table && (*first..=*last).contains(&address))
    };
    if of_block(request.first) != of_block(point.address) {
        return Err(Apart::Block);
    }
    let hole = map.unreadable.iter().any(|(table, first, hole)| {
        *table == point.table && u32::from(*first) < last && *hole >= request.first
    });
    if hole {
        return Err(Apart::Hole);
    }
    let between = u32::from(point.address).saturating_sub(end);
    if between > u32::from(map.max_gap) {
        return Err(Apart::Gap { between, allowed: map.max_gap });
    }
    if between > u32::from(worth) {
        return Err(Apart::Dear { between, worth });
    }
    u16::try_from(last - u32::from(request.first))
        .ok()
        .filter(|count| *count <= most)
        .ok_or(Apart::Full { most })
}

fn most(map: &ModbusMap, function: u8) -> u16 {
    if function <= 2 { map.max_bits } else { map.max_registers }
}

/// Registers (or bits) of `request` that no point is in: they are read along.
pub(crate) fn read_along(map: &ModbusMap, request: &Request) -> u16 {
    let (mut end, mut along) = (request.first, 0_u16);
    for point in request.points.iter().filter_map(|n| map.points.get(*n)) {
        along = along.saturating_add(point.address.saturating_sub(end));
        end = end.max(point.address.saturating_add(point.length));
    }
    along
}

/// The parts of a request that the device refused: without its gaps, else its halves; the second begins where the
/// request is cut from now on. `None` where there is nothing to split: one point, or several in the same registers.
pub(crate) fn split(map: &ModbusMap, request: &Request) -> Option<[Request; 2]> {
    let begin = |n: &usize| map.points[*n].address;
    let gap = request.points.windows(2).position(|pair| {
        let (before, after) = (&map.points[pair[0]], &map.points[pair[1]]);
        // One register may lie at 65535 twice: its two bytes.
        u32::from(before.address) + u32::from(before.length) < u32::from(after.address)
    });
    // Points of one register stay together: to ask for it twice tells nothing new.
    let middle = request.points.len() / 2;
    let borders = (1..request.points.len())
        .filter(|at| begin(&request.points[at - 1]) < begin(&request.points[*at]))
        .min_by_key(|at| at.abs_diff(middle));
    let at = gap.map(|gap| gap + 1).or(borders)?;
    let part = |points: &[usize]| {
        let first = points.iter().map(begin).min()?;
        let end = points
            .iter()
            .map(|n| u32::from(map.points[*n].address) + u32::from(map.points[*n].length))
            .max()?;
        let count = u16::try_from(end - u32::from(first)).ok()?;
        Some(Request { first, count, points: points.to_vec(), ..request.clone() })
    };
    let (before, after) = request.points.split_at(at);
    Some([part(before)?, part(after)?])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{self, Resolved};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn map(head: &str, points: &[(u16, &str)]) -> Arc<ModbusMap> {
        let mut text = format!(
            "[profile]\nname = 'p'\nmake = 'm'\nmodel = 'm'\nkind = 'k'\nprotocol = 'modbus'\nsources = ['s']\n[modbus]\n{head}\n"
        );
        for (address, kind) in points {
            text += &format!(
                "[[modbus.points]]\nname = 'p{address}'\ntable = 'holding'\naddress = {address}\ntype = '{kind}'\n"
            );
        }
        let profile = profile::load("p.toml", &text).unwrap_or_else(|report| panic!("{report}"));
        let Ok(Resolved::Modbus(map)) = profile.resolve(&BTreeMap::new()) else { panic!("a Modbus profile") };
        map
    }

    fn shape(requests: &[Request]) -> Vec<(u16, u16)> {
        requests.iter().map(|request| (request.first, request.count)).collect()
    }

    #[test]
    fn neighbours_are_read_together() {
        for (name, head, points, want) in [
            ("touching", "", &[(0, "u16"), (1, "u16"), (2, "u32")][..], &[(0, 4)][..]),
            ("a gap", "", &[(0, "u16"), (2, "u16")], &[(0, 1), (2, 1)]),
            ("an allowed gap", "max_gap = 1", &[(0, "u16"), (2, "u16"), (5, "u16")], &[(0, 3), (5, 1)]),
            ("a bound", "max_registers = 2", &[(0, "u16"), (1, "u16"), (2, "u16")], &[(0, 2), (2, 1)]),
            ("whole values", "max_registers = 3", &[(0, "u32"), (2, "u32")], &[(0, 2), (2, 2)]),
            (
                "blocks",
                "blocks = [{ table = 'holding', first = 0, last = 1 }]",
                &[(0, "u16"), (1, "u16"), (2, "u16")],
                &[(0, 2), (2, 1)],
            ),
            ("the same register twice", "", &[(0, "u8-hi"), (0, "u8-lo")], &[(0, 1)]),
        ] {
            // Names must differ where addresses do not.
            let map = if name == "the same register twice" {
                let mut map = Arc::unwrap_or_clone(map(head, &points[..1]));
                map.points.push(map.points[0].clone());
                Arc::new(map)
            } else {
                map(head, points)
            };
            assert_eq!(shape(&requests(&map, 125, &Learnt::default())), want, "{name}");
        }
    }

    #[test]
    fn a_refused_request_is_split_down_to_single_points() {
        let map = map("max_gap = 5", &[(0, "u16"), (1, "u16"), (4, "u16")]);
        let whole = requests(&map, 125, &Learnt::default()).remove(0);
        let parts = split(&map, &whole).unwrap();
        assert_eq!(shape(&parts), [(0, 2), (4, 1)], "at the gap first");
        let halves = split(&map, &parts[0]).unwrap();
        assert_eq!(shape(&halves), [(0, 1), (1, 1)]);
        assert_eq!(split(&map, &halves[0]), None);
    }

    #[test]
    fn the_shipped_profiles_ask_for_nothing_undocumented() {
        let (_, text) = profile::builtin()[0];
        let Ok(Resolved::Modbus(map)) = profile::load("", text).unwrap().resolve(&BTreeMap::new()) else {
            panic!()
        };
        let quick: Vec<_> = requests(&map, 125, &Learnt::default())
            .into_iter()
            .filter(|r| r.interval <= Duration::from_secs(1))
            .collect();
        assert_eq!(shape(&quick), [(100, 9), (1000, 12)], "the two access groups of the RDF302");
    }

    #[test]
    fn each_request_says_what_keeps_it_from_the_one_before() {
        let hole = "max_gap = 9\nunreadable = [{ table = 'holding', first = 3, last = 3 }]";
        let block = "max_gap = 9\nblocks = [{ table = 'holding', first = 0, last = 1 }]";
        for (name, head, points, worth, want) in [
            ("no gap allowed", "", [0, 2], 125, Apart::Gap { between: 1, allowed: 0 }),
            ("too wide", "max_gap = 3", [0, 9], 125, Apart::Gap { between: 8, allowed: 3 }),
            ("dearer than a request", "max_gap = 90", [0, 40], 12, Apart::Dear { between: 39, worth: 12 }),
            ("the bound", "max_registers = 1", [0, 1], 125, Apart::Full { most: 1 }),
            ("a hole", hole, [0, 5], 125, Apart::Hole),
            ("a block", block, [0, 5], 125, Apart::Block),
        ] {
            let map = map(head, &points.map(|address| (address, "u16")));
            let apart: Vec<Apart> =
                planned(&map, worth, &Learnt::default()).into_iter().map(|(_, apart)| apart).collect();
            assert_eq!(apart, [Apart::Another, want], "{name}");
            assert!(want.in_words().is_some_and(|words| words.len() > 10), "{name}");
        }
        let map = map("max_gap = 2", &[(0, "u16"), (2, "u16"), (5, "u32")]);
        let bridged = requests(&map, 125, &Learnt::default());
        assert_eq!((shape(&bridged), read_along(&map, &bridged[0])), (vec![(0, 7)], 3));
    }

    #[test]
    fn what_was_learnt_is_planned_for() {
        let map = map("max_gap = 5", &[(0, "u16"), (1, "u16"), (2, "u16"), (3, "u16"), (6, "u16")]);
        let mut learnt = Learnt::default();
        learnt.refuse(3, 2, 1);
        assert_eq!(
            shape(&requests(&map, 125, &learnt)),
            [(0, 2), (2, 1), (3, 4)],
            "what is refused is asked for alone, and never read along"
        );
        learnt.cut(3, 6);
        assert_eq!(shape(&requests(&map, 125, &learnt)), [(0, 2), (2, 1), (3, 1), (6, 1)]);
        learnt.cut(4, 1);
        assert_eq!(requests(&map, 125, &learnt).len(), 4, "another function is another matter");
    }

    #[test]
    fn points_of_one_register_are_not_split() {
        let map = map("", &[(0, "u16"), (1, "u16")]);
        let mut map = Arc::unwrap_or_clone(map);
        map.points.push(map.points[1].clone());
        map.points.push(map.points[1].clone());
        let whole = requests(&map, 125, &Learnt::default()).remove(0);
        let parts = split(&map, &whole).unwrap();
        assert_eq!(shape(&parts), [(0, 1), (1, 1)]);
        assert_eq!(parts[1].points.len(), 3);
        assert_eq!(split(&map, &parts[1]), None);
    }
}

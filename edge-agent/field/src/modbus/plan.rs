//! Which registers are read together.
//!
//! Points of one function and interval are sorted by address and joined while they touch (or lie within the profile's
//! gap), stay within one block and under the device's bound. A request that the device refuses is split, and the split
//! is kept: devices refuse gaps and lengths that no manual names.

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

/// The requests that read all points of `map`. Gaps are read along up to `worth` registers, if the profile allows it.
pub(crate) fn requests(map: &ModbusMap, worth: u16) -> Vec<Request> {
    let mut order: Vec<usize> = (0..map.points.len()).collect();
    order.sort_by_key(|n| {
        let point = &map.points[*n];
        (point.function, point.interval, point.address)
    });
    let mut requests: Vec<Request> = Vec::new();
    for n in order {
        let point = &map.points[n];
        let joined = requests.last_mut().is_some_and(|request| join(map, worth, request, n, point));
        if !joined {
            requests.push(Request {
                function: point.function,
                first: point.address,
                count: point.length,
                interval: point.interval,
                points: vec![n],
            });
        }
    }
    requests
}

fn join(map: &ModbusMap, worth: u16, request: &mut Request, n: usize, point: &MapPoint) -> bool {
    if request.function != point.function || request.interval != point.interval {
        return false;
    }
    let (end, most) = (u32::from(request.first) + u32::from(request.count), most(map, request.function));
    let last = (u32::from(point.address) + u32::from(point.length)).max(end);
    let count = last - u32::from(request.first);
    let near = u32::from(point.address) <= end + u32::from(map.max_gap.min(worth));
    let hole = map.unreadable.iter().any(|(table, first, last)| {
        *table == point.table && u32::from(*first) < last_of(request, point) && *last >= request.first
    });
    let of_block = |address: u16| {
        map.blocks
            .iter()
            .position(|(table, first, last)| *table == point.table && (*first..=*last).contains(&address))
    };
    let same_block = of_block(request.first) == of_block(point.address);
    match u16::try_from(count) {
        Ok(count) if near && !hole && same_block && count <= most => {
            request.count = count;
            request.points.push(n);
            true
        }
        _ => false,
    }
}

/// The end of the addresses that `request` would have with `point`.
fn last_of(request: &Request, point: &MapPoint) -> u32 {
    let end = u32::from(request.first) + u32::from(request.count);
    end.max(u32::from(point.address) + u32::from(point.length))
}

fn most(map: &ModbusMap, function: u8) -> u16 {
    if function <= 2 { map.max_bits } else { map.max_registers }
}

/// The parts of a request that the device refused: without its gaps, else its halves. `None` where it has one point.
pub(crate) fn split(map: &ModbusMap, request: &Request) -> Option<Vec<Request>> {
    if request.points.len() < 2 {
        return None;
    }
    let gap = request.points.windows(2).position(|pair| {
        let (before, after) = (&map.points[pair[0]], &map.points[pair[1]]);
        before.address + before.length < after.address
    });
    let at = gap.map_or(request.points.len() / 2, |gap| gap + 1);
    let part = |points: &[usize]| {
        let first = points.iter().map(|n| map.points[*n].address).min()?;
        let end = points
            .iter()
            .map(|n| u32::from(map.points[*n].address) + u32::from(map.points[*n].length))
            .max()?;
        let count = u16::try_from(end - u32::from(first)).ok()?;
        Some(Request { first, count, points: points.to_vec(), ..request.clone() })
    };
    let (before, after) = request.points.split_at(at);
    Some(vec![part(before)?, part(after)?])
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
            assert_eq!(shape(&requests(&map, 125)), want, "{name}");
        }
    }

    #[test]
    fn a_refused_request_is_split_down_to_single_points() {
        let map = map("max_gap = 5", &[(0, "u16"), (1, "u16"), (4, "u16")]);
        let whole = requests(&map, 125).remove(0);
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
        let quick: Vec<_> =
            requests(&map, 125).into_iter().filter(|r| r.interval <= Duration::from_secs(1)).collect();
        assert_eq!(shape(&quick), [(100, 9), (1000, 12)], "the two access groups of the RDF302");
    }
}

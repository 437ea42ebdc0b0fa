//! The weather and the air of the rooms: simple, but with the right signs and times.

use std::f64::consts::TAU;

/// How fast a closed room follows the weather: its time constant, hours.
const CLOSED_H: f64 = 30.0;
/// The same with the window open.
const OPEN_H: f64 = 2.5;
/// What the climate device does at full power, K an hour.
const FULL_POWER: f64 = 5.0;
/// The longest step that is calculated at once, hours: short against the shortest time constant.
const STEP_H: f64 = 0.05;

/// What a climate device does: -1 cools with full power, 1 heats with full power.
pub(crate) type Drive = f64;

/// The temperature outside at an hour of the day (0 to 24), °C: coldest at five, warmest at five in the afternoon.
pub(crate) fn outside(hour: f64, mean: f64) -> f64 {
    mean - 5.0 * ((hour - 5.0) / 24.0 * TAU).cos()
}

/// The air after `hours` in which it was `outside`.
pub(crate) fn air(mut air: f64, hours: f64, outside: f64, window_open: bool, drive: Drive) -> f64 {
    let constant = if window_open { OPEN_H } else { CLOSED_H };
    let mut left = hours.clamp(0.0, 24.0);
    while left > 0.0 {
        let step = left.min(STEP_H);
        air += step * ((outside - air) / constant + FULL_POWER * drive.clamp(-1.0, 1.0));
        left -= step;
    }
    air.clamp(-20.0, 49.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nights_are_cold_and_afternoons_warm() {
        assert!((outside(5.0, 8.0) - 3.0).abs() < 0.01 && (outside(17.0, 8.0) - 13.0).abs() < 0.01);
    }

    #[test]
    fn rooms_cool_out_slowly_and_fast_with_an_open_window() {
        let (closed, open) = (air(22.0, 1.0, 5.0, false, 0.0), air(22.0, 1.0, 5.0, true, 0.0));
        assert!(closed < 22.0 && closed > 21.0 && open < 18.0 && open > 5.0, "{closed} {open}");
    }

    #[test]
    fn a_heater_wins_against_the_weather_and_a_cooler_too() {
        assert!(air(18.0, 1.0, 5.0, false, 1.0) > 21.0);
        assert!(air(26.0, 1.0, 35.0, false, -1.0) < 23.0);
    }
}

//! What the keys do: those of htop, as far as there is the same to do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::model::{Model, SORTS, View};

/// What follows a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Go,
    Quit,
    Kill(usize),
}

/// Each, for the help.
pub(super) const HELP: [(&str, &str); 9] = [
    ("F1 h ?", "this help"),
    ("Tab 1-4", "flows, clients, hosts, reasons"),
    ("Up Down PgUp PgDn Home End", "select a row"),
    ("F4 / \\", "show what contains a text; Esc ends that"),
    ("F6 > <", "the next order, the one before"),
    ("F9 k", "end the selected flow, after a y"),
    ("Z p", "pause, and go on"),
    ("Esc", "close this, forget the filter"),
    ("F10 q Ctrl-C", "quit"),
];

/// Rows of a page.
const PAGE: usize = 10;

pub(super) fn press(model: &mut Model, key: KeyEvent) -> Then {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    if control && key.code == KeyCode::Char('c') {
        return Then::Quit;
    }
    if model.typing {
        type_filter(model, key.code);
        return Then::Go;
    }
    model.message = None;
    if let Some(id) = model.doomed.take() {
        return match key.code {
            KeyCode::Char('y') => usize::try_from(id).map_or(Then::Go, Then::Kill),
            _ => Then::Go,
        };
    }
    match key.code {
        KeyCode::Char('q') | KeyCode::F(10) => return Then::Quit,
        KeyCode::Char('h' | '?') | KeyCode::F(1) => model.help = !model.help,
        KeyCode::Esc => {
            model.help = false;
            model.filter.clear();
        }
        KeyCode::Tab => show(model, view_after(model.view, 1)),
        KeyCode::BackTab => show(model, view_after(model.view, View::ALL.len() - 1)),
        KeyCode::Char(digit @ '1'..='4') => {
            let place = digit as usize - '1' as usize;
            show(model, View::ALL[place]);
        }
        KeyCode::Char('/' | '\\') | KeyCode::F(4) => model.typing = true,
        KeyCode::Char('>') | KeyCode::F(6) => model.sort = (model.sort + 1) % SORTS.len(),
        KeyCode::Char('<') => model.sort = (model.sort + SORTS.len() - 1) % SORTS.len(),
        KeyCode::Char('Z' | 'p') => model.paused = !model.paused,
        KeyCode::Char('k') | KeyCode::F(9) => doom(model),
        KeyCode::Up => model.selected = model.selected.saturating_sub(1),
        KeyCode::Down => model.selected += 1,
        KeyCode::PageUp => model.selected = model.selected.saturating_sub(PAGE),
        KeyCode::PageDown => model.selected += PAGE,
        KeyCode::Home => model.selected = 0,
        KeyCode::End => model.selected = usize::MAX,
        _ => {}
    }
    model.selected = model.selected.min(model.rows().saturating_sub(1));
    Then::Go
}

fn show(model: &mut Model, view: View) {
    model.view = view;
    model.selected = 0;
}

fn view_after(view: View, by: usize) -> View {
    let place = View::ALL.iter().position(|it| *it == view).unwrap_or(0);
    View::ALL[(place + by) % View::ALL.len()]
}

fn type_filter(model: &mut Model, key: KeyCode) {
    match key {
        KeyCode::Enter | KeyCode::F(4) => model.typing = false,
        KeyCode::Esc => {
            model.typing = false;
            model.filter.clear();
        }
        KeyCode::Backspace => {
            model.filter.pop();
        }
        KeyCode::Char(c) => model.filter.push(c),
        _ => {}
    }
    model.selected = 0;
}

/// The selected flow is to be ended, if that is confirmed.
fn doom(model: &mut Model) {
    if model.view != View::Flows {
        model.message = Some("only flows can be ended: Tab shows them".to_owned());
        return;
    }
    model.doomed = model.flows().get(model.selected).map(|flow| flow.id);
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use serde_json::Value;

    use super::*;
    use crate::cli::flows::sample_of;

    fn keys(model: &mut Model, codes: &[KeyCode]) -> Then {
        let press = |code: &KeyCode| press(model, KeyEvent::new(*code, KeyModifiers::NONE));
        codes.iter().map(press).last().unwrap()
    }

    fn two_flows() -> Model {
        let (mut model, now) = (Model::default(), Instant::now());
        let flows = [(7, "one.example", 20), (8, "two.example", 10)];
        model.take(Value::Null, sample_of(now, &flows), now);
        model
    }

    #[test]
    fn a_flow_is_killed_only_after_a_y() {
        use KeyCode::{Char, Down};
        let mut model = two_flows();
        assert_eq!(keys(&mut model, &[Down, Char('k')]), Then::Go);
        assert_eq!(model.doomed, Some(8));
        assert_eq!(keys(&mut model, &[Char('n')]), Then::Go);
        assert_eq!(keys(&mut model, &[Char('y')]), Then::Go);
        assert_eq!(keys(&mut model, &[Char('k'), Char('y')]), Then::Kill(8));
        keys(&mut model, &[Char('2'), Char('k')]);
        assert!(model.doomed.is_none() && model.message.is_some());
    }

    #[test]
    fn a_filter_is_typed_and_forgotten() {
        use KeyCode::{Backspace, Char, Enter, Esc};
        let mut model = two_flows();
        // Letters that are keys else.
        keys(
            &mut model,
            &[Char('/'), Char('q'), Backspace, Char('t'), Char('w')],
        );
        assert!(model.typing);
        keys(&mut model, &[Enter]);
        assert_eq!((model.filter.as_str(), model.rows()), ("tw", 1));
        keys(&mut model, &[Esc]);
        assert_eq!(model.rows(), 2);
    }

    #[test]
    fn the_selection_stays_within_the_table() {
        use KeyCode::{BackTab, Char, Down, End, PageUp, Tab};
        let mut model = two_flows();
        keys(&mut model, &[Down, Down, Down]);
        assert_eq!(model.selected, 1);
        keys(&mut model, &[PageUp]);
        assert_eq!(model.selected, 0);
        keys(&mut model, &[End]);
        assert_eq!(model.selected, 1);
        keys(&mut model, &[Tab]);
        assert_eq!((model.view, model.selected), (View::Clients, 0));
        keys(&mut model, &[BackTab, BackTab]);
        assert_eq!(model.view, View::Reasons);
        assert_eq!(keys(&mut model, &[Char('q')]), Then::Quit);
    }
}

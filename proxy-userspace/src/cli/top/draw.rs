//! The screen of `weir top`.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Clear, Paragraph, Row, Sparkline, Table, TableState},
};

use super::{
    keys::HELP,
    model::{Model, SORTS, Series, View},
};
use crate::cli::flows::{age, bytes, printable};

const HEAD: Style = Style::new().fg(Color::Black).bg(Color::Green);
const MARKED: Style = Style::new().add_modifier(Modifier::REVERSED);
const ALARM: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);

pub(super) fn draw(frame: &mut Frame<'_>, model: &Model) {
    let alarms = alarms(model);
    let lines = u16::try_from(alarms.len()).unwrap_or(u16::MAX).min(4);
    let [title, warned, rates, tabs, table, foot] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(lines),
        Constraint::Length(4),
        Constraint::Length(1),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(summary(model)), title);
    frame.render_widget(Paragraph::new(alarms).style(ALARM), warned);
    draw_rates(frame, model, rates);
    frame.render_widget(Paragraph::new(views(model)), tabs);
    draw_table(frame, model, table);
    frame.render_widget(Paragraph::new(last_line(model)), foot);
    if model.help {
        draw_help(frame);
    }
}

fn summary(model: &Model) -> Vec<Line<'static>> {
    let status = &model.status;
    let text = |key: &str| status[key].as_str().unwrap_or("?").to_owned();
    let number = |key: &str| status[key].as_u64().unwrap_or_default();
    let connections = &status["connections"];
    let elsewhere = model.status["generations"].as_array();
    let elsewhere: u64 = elsewhere
        .into_iter()
        .flatten()
        .filter_map(|it| it["active"].as_u64())
        .sum();
    vec![
        Line::from(format!(
            "weir {} · {} · mode {} · up {} · {} workers{}",
            text("version"),
            text("instance"),
            text("mode"),
            age(number("uptime_s").saturating_mul(1000)),
            number("workers"),
            if model.paused { " · PAUSED" } else { "" },
        )),
        Line::from(format!(
            "connections {} of {}{} · buffers {} · bypass {} entries",
            connections["active"],
            connections["limit"],
            match elsewhere {
                0 => String::new(),
                more => format!(" (+{more} of earlier daemons)"),
            },
            bytes(number("memory")),
            status["bypass"]["entries"],
        )),
    ]
}

/// What an operator should not have to look for.
fn alarms(model: &Model) -> Vec<Line<'static>> {
    let status = &model.status;
    let list = |key: &str| status[key].as_array().cloned().unwrap_or_default();
    let valves = list("valves").into_iter().map(|valve| {
        let place = valve["interface"].as_str().unwrap_or("all LANs");
        format!(
            "VALVE OPEN: {} ({}, {place})",
            valve["reason"].as_str().unwrap_or("?"),
            valve["family"].as_str().unwrap_or("?"),
        )
    });
    let limits = list("overload").into_iter();
    let limits = limits.map(|it| format!("OVERLOAD: {}", it.as_str().unwrap_or("?")));
    let warnings = list("warnings").into_iter();
    let warnings = warnings.map(|it| format!("WARNING: {}", it.as_str().unwrap_or("?")));
    valves
        .chain(limits)
        .chain(warnings)
        .map(Line::from)
        .collect()
}

fn draw_rates(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let thirds = Layout::horizontal([Constraint::Ratio(1, 3); 3]).areas::<3>(area);
    let plain = |series: &Series| series.now().to_string();
    let octets = |series: &Series| bytes(series.now());
    for (area, title, series, shown, color) in [
        (
            thirds[0],
            "flows/s",
            &model.intercepted,
            plain(&model.intercepted),
            Color::Cyan,
        ),
        (
            thirds[1],
            "requests/s",
            &model.requests,
            plain(&model.requests),
            Color::Green,
        ),
        (
            thirds[2],
            "to clients/s",
            &model.bytes,
            octets(&model.bytes),
            Color::Yellow,
        ),
    ] {
        let width = usize::from(area.width.saturating_sub(1));
        let past = series.past.len();
        let recent = series.past.range(past.saturating_sub(width)..).copied();
        let line = Sparkline::default()
            .block(Block::new().title(format!("{title} {shown}")))
            .style(Style::new().fg(color))
            .data(recent.collect::<Vec<_>>());
        frame.render_widget(line, area);
    }
}

fn views(model: &Model) -> Line<'static> {
    let mut spans = Vec::new();
    for (number, view) in (1..).zip(View::ALL) {
        let style = if view == model.view {
            HEAD
        } else {
            Style::new()
        };
        spans.push(Span::styled(format!(" {number} {} ", view.title()), style));
    }
    if model.view == View::Flows {
        let order = SORTS[model.sort % SORTS.len()].1;
        spans.push(Span::raw(format!("  by {order}")));
    }
    if !model.filter.is_empty() && !model.typing {
        spans.push(Span::raw(format!(
            "  containing \"{}\"",
            printable(&model.filter)
        )));
    }
    Line::from(spans)
}

fn draw_table(frame: &mut Frame<'_>, model: &Model, area: Rect) {
    let rate = |rate: Option<u64>| rate.map_or_else(|| "-".to_owned(), bytes);
    let (head, widths, rows): (_, _, Vec<Vec<String>>) = match model.view {
        View::Flows => (
            vec![
                "ID", "CLIENT", "ORIGIN", "AGE", "STATE", "REQS", "IN/s", "OUT/s", "HOST",
            ],
            vec![8, 24, 24, 8, 10, 5, 7, 7, 0],
            model
                .flows()
                .iter()
                .map(|flow| {
                    vec![
                        flow.id.to_string(),
                        flow.client.to_string(),
                        flow.origin.to_string(),
                        age(flow.age_ms),
                        flow.state.clone(),
                        flow.requests.to_string(),
                        rate(flow.rate_in),
                        rate(flow.rate_out),
                        flow.host
                            .as_deref()
                            .map_or_else(|| "-".to_owned(), printable),
                    ]
                })
                .collect(),
        ),
        View::Clients | View::Hosts => (
            vec!["FLOWS", "REQS", "BYTES", "BYTES/s", model.view.title()],
            vec![7, 7, 8, 8, 0],
            model
                .groups()
                .iter()
                .map(|group| {
                    vec![
                        group.flows.to_string(),
                        group.requests.to_string(),
                        bytes(group.bytes),
                        bytes(group.rate),
                        printable(&group.name),
                    ]
                })
                .collect(),
        ),
        View::Reasons => (
            vec!["OF", "TOTAL", "PER SECOND", "REASON"],
            vec![9, 12, 10, 0],
            model
                .counted()
                .into_iter()
                .map(|(kind, word, total, rate)| {
                    vec![
                        kind.to_owned(),
                        total.to_string(),
                        rate.to_string(),
                        word.to_owned(),
                    ]
                })
                .collect(),
        ),
    };
    let widths = widths.into_iter().map(|width| match width {
        0 => Constraint::Min(10),
        width => Constraint::Length(width),
    });
    let table = Table::new(rows.into_iter().map(Row::new), widths)
        .header(Row::new(head).style(HEAD))
        .row_highlight_style(MARKED);
    let mut state = TableState::new().with_selected(model.selected);
    frame.render_stateful_widget(table, area, &mut state);
}

fn last_line(model: &Model) -> Line<'static> {
    if model.typing {
        return Line::from(format!("Filter: {}_", printable(&model.filter)));
    }
    if let Some(id) = model.doomed {
        return Line::styled(format!("End flow {id}? y: yes, any other key: no"), ALARM);
    }
    match &model.message {
        Some(message) => Line::styled(printable(message), ALARM),
        None => Line::from("F1 Help  Tab View  F4 Filter  F6 Order  F9 Kill  Z Pause  F10 Quit"),
    }
}

fn draw_help(frame: &mut Frame<'_>) {
    let lines: Vec<_> = HELP
        .iter()
        .map(|(keys, what)| Line::from(format!(" {keys:<28}{what} ")))
        .collect();
    let area = frame.area();
    let height = u16::try_from(lines.len())
        .unwrap_or(u16::MAX)
        .saturating_add(2);
    let shown = Rect {
        x: 2,
        y: 3,
        width: 76,
        height,
    };
    let shown = shown.intersection(area);
    frame.render_widget(Clear, shown);
    frame.render_widget(
        Paragraph::new(lines).block(Block::bordered().title("Keys")),
        shown,
    );
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use ratatui::{Terminal, backend::TestBackend};
    use serde_json::json;

    use super::*;
    use crate::cli::flows::sample_of;

    fn screen(model: &Model, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, model)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn each_view_shows_its_table() {
        let (mut model, now) = (Model::default(), Instant::now());
        let status = json!({
            "version": "1.2.3", "instance": "edge", "mode": "enforce", "uptime_s": 61,
            "connections": { "active": 2, "limit": 100 },
            "flows": { "intercepted": 3 }, "outcomes": { "served": 5 },
            "valves": [{ "reason": "not-delivered", "family": "IPv4", "interface": "eth1" }],
        });
        // A host that would clear the screen.
        let flows = [(7, "evil\u{1b}[2Jhost", 2048), (8, "two.example", 10)];
        model.take(status, sample_of(now, &flows), now);
        let shown = screen(&model, 140, 24);
        for part in [
            "edge",
            "1m01s",
            "VALVE OPEN: not-delivered (IPv4, eth1)",
            "two.example",
        ] {
            assert!(shown.contains(part), "{part}\n{shown}");
        }
        assert!(shown.contains("evil\\u{1b}[2Jhost"), "{shown}");
        model.view = View::Reasons;
        let shown = screen(&model, 140, 24);
        assert!(
            shown.contains("intercepted") && shown.contains("served"),
            "{shown}"
        );
        model.view = View::Hosts;
        assert!(screen(&model, 140, 24).contains("2.00K"));
        model.help = true;
        assert!(screen(&model, 140, 24).contains("this help"));
    }

    #[test]
    fn no_terminal_is_too_small() {
        let mut model = Model::default();
        model.help = true;
        for view in View::ALL {
            model.view = view;
            for (width, height) in [(1, 1), (10, 3), (80, 8)] {
                screen(&model, width, height);
            }
        }
    }
}

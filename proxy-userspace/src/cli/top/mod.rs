//! `weir top`: what happens, as it happens, in a terminal.

mod draw;
mod keys;
mod model;

use std::{
    io::{self, IsTerminal as _},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyEventKind},
};

use self::{keys::Then, model::Model};
use super::{Instance, ask, flows::Sample};
use crate::{control::Request, fault::Fault};

/// What happens, as it happens.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    instance: Instance,
    /// Seconds from one look to the next.
    #[arg(long, default_value_t = 1.0, value_name = "SECONDS", value_parser = interval)]
    interval: f64,
}

fn interval(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.1..=60.0).contains(&seconds) => Ok(seconds),
        _ => Err("expected seconds, from 0.1 to 60".to_owned()),
    }
}

pub(super) fn run(args: &Args) -> Result<()> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(Fault::Usage(
            "weir top needs a terminal; `weir status` and `weir flows` print".to_owned(),
        )
        .into());
    }
    // Before the screen is taken: who is not permitted reads it on the one that he has.
    let mut model = Model::default();
    look(&mut model, &args.instance.instance)?;
    let mut terminal = ratatui::try_init().context("cannot set the terminal up")?;
    let ended = show(&mut terminal, &mut model, args);
    ratatui::restore();
    ended
}

fn show(terminal: &mut DefaultTerminal, model: &mut Model, args: &Args) -> Result<()> {
    let instance = &args.instance.instance;
    let interval = Duration::from_secs_f64(args.interval);
    let mut due = Instant::now() + interval;
    loop {
        terminal.draw(|frame| draw::draw(frame, model))?;
        let left = due.saturating_duration_since(Instant::now());
        if event::poll(left)? {
            let Event::Key(key) = event::read()? else {
                continue;
            };
            if key.kind == KeyEventKind::Release {
                continue;
            }
            match keys::press(model, key) {
                Then::Go => {}
                Then::Quit => return Ok(()),
                Then::Kill(id) => {
                    let killed = ask(instance, &Request::KillFlow { id });
                    model.message = Some(match killed {
                        Ok(_) => format!("flow {id} is ended"),
                        Err(error) => format!("{error:#}"),
                    });
                }
            }
        } else {
            due = Instant::now() + interval;
            if model.paused {
                continue;
            }
            // A daemon that is upgraded or started again is waited for.
            if let Err(error) = look(model, instance) {
                model.message = Some(format!("{error:#}"));
            }
        }
    }
}

fn look(model: &mut Model, instance: &str) -> Result<()> {
    let status = ask(instance, &Request::Status)?;
    let sample = Sample::take(instance)?;
    model.take(status, sample, Instant::now());
    Ok(())
}

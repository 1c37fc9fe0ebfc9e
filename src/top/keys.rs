//! What a person's keys do.

use super::{Sort, Tab, Top};

/// A key, as far as it means anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A letter.
    Letter(char),
    /// The end of a line.
    Enter,
    /// Away with it.
    Escape,
    /// The last letter goes.
    Backspace,
    /// One row up.
    Up,
    /// One row down.
    Down,
    /// One page up.
    PageUp,
    /// One page down.
    PageDown,
    /// To the first row.
    Home,
    /// To the last row.
    End,
    /// To the next tab.
    Next,
    /// To the tab before.
    Previous,
    /// An end, whatever is being written.
    Interrupt,
}

/// What follows from a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It goes on.
    Goes,
    /// It is over.
    Ends,
}

/// No filter is longer.
const FILTER: usize = 60;

impl Top {
    /// A key was pressed; a page has so many rows.
    pub fn press(&mut self, key: Key, page: usize) -> What {
        if key == Key::Interrupt {
            return What::Ends;
        }
        if self.writes {
            self.write(key);
            return What::Goes;
        }
        match key {
            Key::Letter('q') => return What::Ends,
            Key::Escape if self.helps => self.helps = false,
            Key::Escape => self.filter.clear(),
            Key::Letter('?' | 'h') => self.helps = !self.helps,
            Key::Letter('p' | ' ') => self.paused = !self.paused,
            Key::Letter('/') => self.writes = true,
            Key::Letter('s') => self.sort = next(&Sort::ALL, self.sort),
            Key::Letter('r') => self.reversed = !self.reversed,
            Key::Letter(digit @ '1'..='4') => {
                let place = digit.to_digit(10).map_or(0, |digit| digit as usize - 1);
                self.go(Tab::ALL.get(place).copied().unwrap_or(self.tab));
            }
            Key::Next => self.go(next(&Tab::ALL, self.tab)),
            Key::Previous => {
                let [first, middle @ .., last] = Tab::ALL;
                let reversed: Vec<Tab> = [last].into_iter().chain(middle.into_iter().rev()).chain([first]).collect();
                self.go(next(&reversed, self.tab));
            }
            Key::Up => self.first = self.first.saturating_sub(1),
            Key::Down => self.first = self.first.saturating_add(1),
            Key::PageUp => self.first = self.first.saturating_sub(page),
            Key::PageDown => self.first = self.first.saturating_add(page),
            Key::Home => self.first = 0,
            Key::End => self.first = usize::MAX,
            Key::Letter(_) | Key::Enter | Key::Backspace | Key::Interrupt => {}
        }
        let last = self.count().saturating_sub(page);
        self.first = self.first.min(last);
        What::Goes
    }

    fn write(&mut self, key: Key) {
        match key {
            Key::Letter(letter) if self.filter.chars().count() < FILTER => self.filter.push(letter),
            Key::Backspace => {
                self.filter.pop();
            }
            Key::Enter => self.writes = false,
            Key::Escape => {
                self.filter.clear();
                self.writes = false;
            }
            _ => {}
        }
        self.first = 0;
    }

    fn go(&mut self, tab: Tab) {
        if self.tab != tab {
            (self.tab, self.first) = (tab, 0);
        }
    }
}

/// The one after this, or the first one.
fn next<T: Copy + PartialEq>(all: &[T], this: T) -> T {
    let mut rest = all.iter().copied().cycle().skip_while(|one| *one != this).skip(1);
    // What is not among them never ends the search, so it is looked first.
    if all.contains(&this) { rest.next().unwrap_or(this) } else { this }
}

//! From the text of a herd.conf to its raw keys and values, or to what is wrong with it. `Config::parse` calls it.

use super::hints;
use super::raw::{Problem, Raw};

pub fn parse(text: &str) -> Result<Raw, Problem> {
    toml::from_str(text).map_err(|error| {
        let said = one_line(error.message());
        let why = error.span().map_or_else(|| said.clone(), |span| hints::explain(&said, &span, text));
        Problem { span: error.span(), why }
    })
}

fn one_line(message: &str) -> String {
    message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}

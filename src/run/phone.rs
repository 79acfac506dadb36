//! `herd --phone NAME`: makes a token for a phone, and prints what to type into each app. `main` calls it.

use std::process::ExitCode;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde_json::{Value, json};

use super::exit;
use super::say::{fail, remark};
use super::token::{self, Made};
use crate::config::{Config, Http, Server};
use crate::door::http::path_segment;

/// Makes one for the phone of this name. Its settings lead to the server of this index, or to the first that serves HTTP.
/// They are said, or printed as an object of JSON.
pub fn run(
    config: &Config,
    index: Option<usize>,
    name: &str,
    client: Option<&str>,
    is_json: bool,
) -> ExitCode {
    let of = |server| Some((server, http_of(server)?));
    let found = match index {
        Some(index) => of(&config.servers[index]),
        None => config.servers.iter().find_map(of),
    };
    let Some((server, http)) = found else {
        let path = config.path.display();
        return fail(exit::CONFIG, format!("{path}: no http.listen, which phones report to"));
    };
    let base = match base_of(server, http) {
        Ok(base) => base,
        Err(why) => return fail(exit::CONFIG, why),
    };
    // Android sends no header with any other, and iOS none that has the token; and most stand in URLs as they are.
    if !is_plain(name) {
        let why = format!(
            "{name} is to be a user, a device and a part of URLs in the apps, some of which take nothing but letters of \
             ASCII, digits, `.`, `_` and `-`; for another client: herd --phone NAME --client {name}"
        );
        return fail(exit::USAGE, why);
    }
    // A phone that sees no other needs no more than to write.
    let client = client.unwrap_or(name);
    if let Some(prefix) = client.strip_suffix('*').filter(|prefix| !name.starts_with(prefix)) {
        let example = if is_plain(prefix) { format!("{prefix}1") } else { "NAME".into() };
        let why = format!(
            "these settings would report as {name} and as {name}-{name}, which a token for {client} may not: begin the \
             name so, as in herd --phone {example} --client '{client}'"
        );
        return fail(exit::USAGE, why);
    }
    let scopes = if client.ends_with('*') { "read,write" } else { "write" };
    let Some(tokens) = &http.tokens_file else { return fail(exit::CONFIG, token::no_file(config)) };
    let made = match token::make(&tokens.path, name, scopes, Some(client)) {
        Ok(made) => made,
        Err(failed) => return failed.fail(),
    };
    if http.listen.is_loopback() && http.names.is_empty() {
        remark(format!(
            "{} serves HTTP on {} alone, where no phone gets: have http.listen name an address that phones reach, or add \
             the name of a proxy in front to http.names",
            server.name, http.listen
        ));
    }
    if let Some(warning) = token::shut_out(config, &tokens.path) {
        remark(warning);
    }
    let settings = Settings::of(&base, name, &made.secret);
    if is_json {
        made.print(settings.object(client, &made))
    } else {
        made.print(settings.text(client, &made))
    }
}

fn http_of(server: &Server) -> Option<&Http> {
    server.http.as_ref()
}

/// Whether every app takes it as it is.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// The same for OwnTracks, which takes letters and digits alone for a device on Android, but no Y. It has to be something.
fn device_of(name: &str) -> String {
    let device: String = name.chars().filter(|c| c.is_ascii_alphanumeric() && *c != 'Y').collect();
    if device.is_empty() { "phone".into() } else { device }
}

/// The address that phones call, without a path.
fn base_of(server: &Server, http: &Http) -> Result<String, String> {
    let scheme = if http.tls.is_some() || !http.listen.is_loopback() { "https" } else { "http" };
    let is_behind_proxy = http.tls.is_none() && !http.listen.is_loopback();
    match http.names.first() {
        // The proxy has a port of its own.
        Some(name) if is_behind_proxy => Ok(format!("{scheme}://{name}")),
        Some(name) => Ok(format!("{scheme}://{name}:{}", http.listen.port)),
        None if http.listen.is_wildcard() || is_behind_proxy => Err(format!(
            "{}: phones need a name or an address to call; add names = [\"herd.example\"] to its http table",
            server.name
        )),
        None => Ok(format!("{scheme}://{}", http.listen)),
    }
}

/// What to type into the apps.
struct Settings<'a> {
    base: &'a str,
    name: &'a str,
    /// What OwnTracks calls the phone.
    device: String,
    secret: &'a str,
    /// Links that an app opens.
    owntracks: String,
    overland: String,
    /// URLs to type.
    traccar: String,
    osmand: String,
    gpslogger: String,
}

impl<'a> Settings<'a> {
    fn of(base: &'a str, name: &'a str, secret: &'a str) -> Settings<'a> {
        let (id, device) = (path_segment(name), device_of(name));
        let config = json!({
            "_type": "configuration",
            "mode": 3,
            "url": format!("{base}/owntracks"),
            "auth": true,
            "usePassword": true,
            "username": name,
            "password": secret,
            "deviceId": device,
        });
        let inline = path_segment(&BASE64_STANDARD.encode(config.to_string()));
        let url = path_segment(&format!("{base}/overland")).replace(':', "%3A");
        let inline = inline.replace('=', "%3D").replace('+', "%2B");
        Settings {
            base,
            name,
            device,
            secret,
            owntracks: format!("owntracks:///config?inline={inline}"),
            overland: format!("overland://setup?url={url}&token={secret}&device_id={id}"),
            traccar: format!("{base}/osmand?token={secret}"),
            osmand: format!("{base}/osmand?id={id}&lat={{0}}&lon={{1}}&timestamp={{2}}&token={secret}"),
            gpslogger: format!("{base}/gpslogger?device={id}&lat=%LAT&lon=%LON&timestamp=%TIMESTAMP"),
        }
    }

    /// For programs.
    fn object(&self, client: &str, made: &Made) -> Value {
        let Settings { base, name, device: _, secret, owntracks, overland, traccar, osmand, gpslogger } =
            self;
        json!({
            "name": name,
            "client": client,
            "token": secret,
            "file": made.file,
            "url": base,
            "owntracks": owntracks,
            "overland": overland,
            "traccar": traccar,
            "osmand": osmand,
            "gpslogger": gpslogger,
        })
    }

    /// For whoever types them.
    fn text(&self, client: &str, made: &Made) -> String {
        let Settings { base, name, device, secret, owntracks, overland, traccar, osmand, gpslogger } = self;
        let whose = match client.strip_suffix('*') {
            Some(prefix) => format!(
                "It reports as the client that the app names, which has to begin with {prefix}: with these settings \
                 {name}-{device} from OwnTracks, {name} from the others. Change the name for a further phone"
            ),
            None => format!("It reports as the client {client}, whatever name the app gives"),
        };
        // Most terminals are dark, so what is light in a code is drawn.
        let code = QrCode::new(owntracks)
            .map(|code| {
                code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build()
            })
            .unwrap_or_else(|why| format!("(no code can be drawn: {why})"));
        format!(
            "The token of {name}, which is shown this once: {secret}\n\
             {added}\n\
             {whose}.\n\
             \n\
             OwnTracks   open this link on the phone, or scan the code below\n\
             {I}{owntracks}\n\
             {I}or type: mode HTTP, URL {base}/owntracks, user {name}, password {secret}, device {device}\n\
             Traccar Client\n\
             {I}server URL {traccar}\n\
             {I}device identifier {name}\n\
             OsmAnd      Trip recording, Online tracking, Web address\n\
             {I}{osmand}\n\
             Overland    open this link on the phone\n\
             {I}{overland}\n\
             {I}or type: receiver endpoint {base}/overland, access token {secret}, device ID {name}\n\
             GPSLogger   Log to custom URL\n\
             {I}URL {gpslogger}\n\
             {I}Basic authentication: user {name}, password {secret}\n\
             \n\
             {code}",
            added = made.added,
            I = "            ",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_lead_to_the_server_and_have_the_token() {
        let (secret, file) = ("s-e_cret0123456789", "herd.tokens".into());
        let made = Made { secret: secret.into(), file, added: "added".into(), undone: "undone".into() };
        let settings = Settings::of("https://herd.example:8443", "anna.phone", secret);
        let text = settings.text("anna", &made);
        let link = text.split_whitespace().find(|word| word.starts_with("owntracks:")).expect("a link");
        let inline = link.split_once("inline=").expect("inline").1.replace("%2B", "+").replace("%2F", "/");
        let json = BASE64_STANDARD.decode(inline.replace("%3D", "=")).expect("base64");
        let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
        assert_eq!((&json["_type"], &json["mode"]), (&"configuration".into(), &3.into()));
        assert_eq!(json["url"], "https://herd.example:8443/owntracks");
        assert_eq!(
            (&json["username"], &json["password"]),
            (&"anna.phone".into(), &"s-e_cret0123456789".into())
        );
        assert_eq!(json["deviceId"], "annaphone");
        assert!(text.contains(", device annaphone\n"), "{text}");
        assert_eq!(["Yuri", "n_60-.x", "Y-Y"].map(device_of), ["uri", "n60x", "phone"]);
        let osmand = "https://herd.example:8443/osmand?id=anna.phone&lat={0}&lon={1}&timestamp={2}&token=s-e_cret0123456789";
        assert!(text.contains(osmand), "{text}");
        assert!(
            text.contains("overland://setup?url=https%3A%2F%2Fherd.example%3A8443%2Foverland&token="),
            "{text}"
        );
        // Two rows of modules a line, with a quiet zone.
        assert!(text.lines().filter(|line| line.contains('█')).count() > 30, "{text}");
    }
}

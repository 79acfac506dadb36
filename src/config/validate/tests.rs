//! Unit tests: herd.conf, right and wrong.

use super::*;
use crate::places::Provider;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(Path::new("etc/herd.conf"), text).map_err(|error| error.to_string())
}

#[test]
fn the_shipped_herd_is_the_original_one() {
    let config = parse(include_str!("../../../herd.conf")).expect("valid");
    let graph: Vec<_> = config
        .servers
        .iter()
        .map(|server| (server.name.as_str(), server.listen.to_string(), config.neighbour_names(server)))
        .collect();
    let expected = [
        ("Goloman", "127.0.0.1:16675", "Hands, Holiday, Wilkes"),
        ("Hands", "127.0.0.1:16676", "Goloman, Wilkes"),
        ("Holiday", "127.0.0.1:16677", "Goloman, Welsh, Wilkes"),
        ("Welsh", "127.0.0.1:16678", "Holiday"),
        ("Wilkes", "127.0.0.1:16679", "Goloman, Hands, Holiday"),
    ];
    assert_eq!(graph, expected.map(|(name, at, with)| (name, at.to_owned(), with.to_owned())));
}

#[test]
fn settings_and_paths_are_read() {
    let config = parse(
        "workers = 3\nmax_line = 200\nidle_timeout_s = 0\nmax_ahead = \"24h\"\nconnections = \"one-shot\"\n\
         log_dir = \"/var/log/herd\"\nlog_level = \"warn\"\nplaces.provider = \"google\"\nplaces.key_file = \"key\"\n\
         places.threads = 7\n[servers.A]\nlisten = \"[::1]:0\"\n",
    )
    .expect("valid");
    assert_eq!((config.settings.workers, config.settings.max_line), (3, 200));
    assert_eq!(config.settings.idle_timeout, None);
    assert_eq!((config.settings.max_ahead_ns, config.settings.refuses_ahead), (86_400_000_000_000, true));
    assert!(config.settings.one_shot);
    assert_eq!(config.log_path(&config.servers[0]), Path::new("/var/log/herd/A.log"));
    assert_eq!(config.places.key_file.as_deref(), Some(Path::new("etc/key")));
    assert_eq!((config.places.provider, config.places.threads), (Provider::Google, Some(7)));
    assert_eq!(config.servers[0].listen.to_string(), "[::1]:0");
}

#[test]
fn a_pair_shares_its_own_secret_whichever_of_the_two_names_it() {
    let conf = |a: &str, b: &str, c: &str| {
        format!(
            "secret_file = \"herd\"\n[servers.A]\nlisten = \"127.0.0.1:1\"\nneighbours = [\"B\", \"C\"]\n{a}\n\
             [servers.B]\nlisten = \"127.0.0.1:2\"\nsecret_file = \"b\"\nneighbours = [\"C\"]\n{b}\n\
             [servers.C]\nlisten = \"127.0.0.1:3\"\n{c}\n[servers.D]\nlisten = \"127.0.0.1:4\"\n"
        )
    };
    let shared = |config: &Config| {
        [(0, 1), (1, 2), (2, 0)].map(|(a, b)| {
            let path = config.shared_secret(a, b).map(|file| file.path.clone());
            assert_eq!(path, config.shared_secret(b, a).map(|file| file.path.clone()));
            path.and_then(|path| Some(path.file_name()?.to_str()?.to_owned())).unwrap_or_default()
        })
    };
    let config = parse(&conf("", "", "")).expect("valid");
    assert_eq!(shared(&config), ["b", "b", "herd"]);
    let config = parse(&conf("", "secret_files = { A = \"ab\" }", "secret_files = { A = \"ac\" }"));
    assert_eq!(shared(&config.expect("valid")), ["ab", "b", "ac"]);
    let both = parse(&conf("secret_files = { B = \"ab\" }", "secret_files = { A = \"ab\" }", ""));
    assert_eq!(shared(&both.expect("valid")), ["ab", "b", "herd"]);
    let check = |text: &str, start: &str| {
        let error = parse(text).map(|_| ()).expect_err(text);
        assert!(error.starts_with(start), "{error}");
    };
    let twice = conf("secret_files = { B = \"ab\" }", "secret_files = { A = \"ba\" }", "");
    check(&twice, "etc/herd.conf:10: A names etc/ab for its link with B; name one file");
    let none = conf("", "", "secret_files = { D = \"cd\" }");
    check(&none, "etc/herd.conf:13: D is no neighbour of C");
    check(
        &conf("", "", "plain = true\nsecret_files = { A = \"ac\" }"),
        "etc/herd.conf:14: C and A are not both of",
    );
}

#[test]
fn errors_name_the_line_and_the_remedy() {
    let check = |text: &str, line: usize, hint: &str| {
        let error = parse(text).map(|_| ()).expect_err(text);
        assert!(error.starts_with(&format!("etc/herd.conf:{line}: ")), "{error}");
        assert!(error.contains(hint), "{error}");
    };
    let server = |rest: &str| format!("[servers.A]\nlisten = \"127.0.0.1:1\"\n{rest}");
    check("workers = 0\n", 1, "from 1 to 256");
    check("\nmax_line = -5\n", 2, "from 128 to 16384");
    check("max_lines = 5\n", 1, "max_line");
    check("workers = \"two\"\n", 1, "invalid type");
    check("workers = 2\nworkers = 3\n", 2, "workers is here a second time");
    check("max_ahead = \"soon\"\n", 1, "24h");
    check("connections = \"once\"\n", 1, "one-shot");
    check("log_level = \"loud\"\n", 1, "debug");
    check("places.provider = \"bing\"\n", 1, "overpass");
    check("[places]\nprovider = \"overpass\"\n", 2, "places.url");
    check("[places]\nprovider = \"file\"\n", 2, "places.path");
    check("places.url = \"ftp://x\"\n", 1, "http://");
    check(&server("neighbours = [\"B\"]\n"), 3, "there are A");
    check(&server("neighbours = [\"A\"]\n"), 3, "itself");
    check(&server("[servers.B]\nlisten = \"127.0.0.1:1\"\n"), 4, "another port");
    check(&server("[servers.B]\nneighbours = []\n"), 3, "listen");
    check("[servers.\"a/b\"]\nlisten = \"127.0.0.1:1\"\n", 1, "letters");
    check("[servers.A]\nlisten = \"127.0.0.1\"\n", 2, "127.0.0.1:16675");
    check("[servers.A]\nlisten = \"::1:80\"\n", 2, "[::1]:16675");
    check(&server("neighbours = [\"B\"]\n[servers.B]\nlisten = \"127.0.0.1:0\"\n"), 5, "port");
    check(&server("neighbours = [\"B\"]\n[servers.B]\nlisten = \"0.0.0.0:7\"\n"), 5, "address =");
    check("[servers.A\n", 1, "");
    check("workers = \"x\"\n", 1, "workers: invalid type: string \"x\", expected a whole number");
    check("[servers.A]\nplain = true\n", 1, "add listen =");
    let two = |a: &str, b: &str| format!("[servers.A]\nlisten = \"{a}\"\n[servers.B]\nlisten = \"{b}\"\n");
    for (a, b) in [
        ("[::1]:7", "[0:0::1]:7"),
        ("localhost:7", "127.0.0.1:7"),
        ("[::1]:7", "localhost:7"),
        ("0.0.0.0:7", "127.0.0.1:7"),
        ("127.0.0.9:7", "[::]:7"),
        ("127.0.0.1:7", "[::ffff:127.0.0.1]:7"),
    ] {
        check(&two(a, b), 4, "another port");
    }
    for (a, b) in
        [("127.0.0.1:7", "127.0.0.2:7"), ("10.0.0.1:7", "0.0.0.0:7"), ("a:7", "b:7"), ("a:0", "a:0")]
    {
        assert!(parse(&two(a, b)).is_ok(), "{a} {b}");
    }
    let neighbours = |extra: &str| two("127.0.0.1:7", "[::1]:8") + "neighbours = [\"A\"]\n" + extra;
    check(&neighbours(""), 2, "families");
    assert!(
        parse(&neighbours("plain = true\n")).is_ok(),
        "one of another implementation is not known by address only"
    );
    let twice = "[servers.A]\nlisten = \"0.0.0.0:7\"\naddress = \"a:7\"\n\
                 [servers.B]\nlisten = \"0.0.0.0:7\"\naddress = \"A:7\"\n";
    check(twice, 6, "A has the address a:7 already");
    check("log_level = info\n", 1, "like log_level = \"text\"");
    check("log_dir = logs\n", 1, "like log_dir = \"text\"");
    check("max_line = 99999999999999999999\n", 1, "beyond every limit");
    check(
        &server("neighbours = \"B\"\n"),
        3,
        "neighbours: invalid type: string \"B\", expected a list, like [",
    );
    check("servers = []\n", 1, "expected tables, like [servers.Goloman]");
    check(&server("plain = \"yes\"\n"), 3, "expected true or false, without quotes");
    check("places = 3\n", 1, "[places]");
    check("servers.A = 3\n", 1, "[servers.NAME]");
    assert!(parse("").expect_err("empty").contains("no servers"));
}

#[test]
fn tiles_are_of_one_server_and_name_whom_they_are_of() {
    let server = "[servers.A]\nlisten = \"127.0.0.1:1\"\n[servers.B]\nlisten = \"127.0.0.1:2\"\n";
    let tiles = "tiles = \"https://tiles.example.org/{z}/{x}/{y}.png\"\n";
    let attribution = "attribution = \"© OpenStreetMap contributors\"\n";
    let config = parse(&format!("[map]\n{tiles}{attribution}{server}")).expect("valid");
    let found = config.servers[1].tiles.clone().expect("tiles");
    assert_eq!(found.url, "https://tiles.example.org/{z}/{x}/{y}.png");
    assert_eq!(
        (&*found.origin, &*found.attribution),
        ("https://tiles.example.org", "© OpenStreetMap contributors")
    );
    assert!(
        config.to_string().contains("map: tiles of https://tiles.example.org, © OpenStreetMap contributors")
    );
    let own = "map.tiles = \"http://b:8/{z}/{x}/{y}\"\nmap.attribution = \"B\"\n";
    let config = parse(&format!("{server}{own}")).expect("valid");
    assert_eq!(config.servers[0].tiles, None);
    assert!(config.to_string().contains("map of B: tiles of http://b:8, B"), "{config}");
    check(&format!("[map]\n{tiles}{server}"), 2, &["map.attribution"]);
    check(&format!("[map]\n{attribution}{server}"), 2, &["map.tiles", "missing"]);
    check(&format!("[map]\n{tiles}{attribution}{server}map.attribution = \"B\"\n"), 8, &["map.tiles"]);
    check(
        "[map]\ntiles = \"ftp://a\"\nattribution = \"a\"\n[servers.A]\nlisten = \"127.0.0.1:1\"\n",
        2,
        &["http://", "like \"https://tiles.example.org/"],
    );
    check(&format!("[map]\n{tiles}attribution = \" \"\n{server}"), 3, &["1 to 200"]);
    check("[map]\ntile = \"a\"\n", 2, &["tile is no key of [map]", "did you mean tiles?"]);
    check("[maps]\ntiles = \"a\"\n", 1, &["[map]?"]);
}

fn check(text: &str, line: usize, hints: &[&str]) {
    let error = parse(text).map(|_| ()).expect_err(text);
    assert!(error.starts_with(&format!("etc/herd.conf:{line}: ")), "{error}");
    hints.iter().for_each(|hint| assert!(error.contains(hint), "{text}: {error}"));
}

#[test]
fn every_key_in_the_table_of_others_is_told_where_it_belongs() {
    let server = "[servers.A]\nlisten = \"127.0.0.1:1\"\n";
    // Every setting, at the end of the file, where the last table is another's.
    let raw = include_str!("../raw.rs");
    let mut homes = raw.split("pub struct Raw").skip(1).map(|table| {
        let fields = table.split('}').next().unwrap_or_default().lines();
        fields
            .filter_map(|field| field.trim().strip_prefix("pub ")?.split_once(':'))
            .map(|(key, _)| key)
            .collect()
    });
    let mut next = || -> Vec<&str> { homes.next().expect("a table") };
    let (top, places, _http, map) = (next(), next(), next(), next());
    let (backbone, timing, servers) = (next(), next(), next());
    assert!(
        top.contains(&"workers")
            && places.contains(&"url")
            && timing.len() > 5
            && servers.contains(&"plain")
            && map.contains(&"tiles")
            && backbone.contains(&"retain")
    );
    let tables = [
        ("[servers.A]\nlisten = \"127.0.0.1:1\"", &servers, "[servers.A]"),
        ("[places]", &places, "[places]"),
        ("[backbone]", &backbone, "[backbone]"),
        ("[timing]", &timing, "[timing]"),
    ];
    for (table, own, name) in tables {
        let line = table.lines().count() + 1;
        for (keys, home) in [
            (&top, "above the first [table]"),
            (&places, "in [places]"),
            (&timing, "in [timing]"),
            (&map, "in [map]"),
            (&backbone, "in [backbone]"),
            (&servers, "[servers.NAME]"),
        ] {
            // One that may stand in two tables belongs above first of all.
            let elsewhere =
                |key: &&&str| !own.contains(key) && (home.starts_with("above") || !top.contains(key));
            for key in keys.iter().filter(elsewhere) {
                let home = match *key {
                    "servers" => "[servers.NAME]",
                    "places" => "[places]",
                    "timing" => "[timing]",
                    "http" => "[http]",
                    "map" => "[map]",
                    "backbone" => "[backbone]",
                    _ => home,
                };
                check(&format!("{table}\n{key} = 1\n"), line, &[key, &format!("no key of {name}"), home]);
            }
        }
    }
    for key in servers.iter().filter(|key| !top.contains(key)) {
        check(&format!("{key} = 1\n{server}"), 1, &[key, "in the table of a server"]);
    }
}

#[test]
fn a_mistyped_key_or_table_is_told_what_was_meant() {
    let server = "[servers.A]\nlisten = \"127.0.0.1:1\"\n";
    check(
        &format!("{server}places.provider = \"file\"\n"),
        3,
        &["places is no key of [servers.A]", "[places]"],
    );
    check(&format!("{server}[servers.A.places]\nprovider = \"file\"\n"), 3, &["[places]"]);
    check(
        "servers.A.listen = \"127.0.0.1:1\"\nservers.A.workers = 3\n",
        2,
        &["no key of [servers.A]", "above"],
    );
    check("servers.A = { listen = \"127.0.0.1:1\", workers = 3 }\n", 1, &["no key of [servers.A]", "above"]);
    check("[servers]\nlog_level = \"info\"\n", 2, &["above the first"]);
    check(&format!("{server}[servers.A.secret_files]\nlog_level = \"info\"\n"), 4, &["above the first"]);
    check(&format!("{server}[servers.A.secret_files]\nworkers = 3\n"), 4, &["above the first"]);
    for (line, text, meant) in [
        (1, "max_conections = 3\n", "max_connections?"),
        (1, "max-line = 300\n", "max_line?"),
        (1, "LogLevel = \"info\"\n", "log_level?"),
        (2, "[timing]\ncompare = 3\n", "compare_ms?"),
        (2, "[places]\nkeyfile = \"x\"\n", "key_file?"),
        (2, "[servers.A]\nneighbors = []\n", "neighbours?"),
        (2, "[servers.A]\nmax_conections = 3\n", "max_connections? It belongs above"),
        (1, "[server.Solo]\nlisten = \"127.0.0.1:1\"\n", "[servers.Solo]?"),
        (1, "[Solo]\nlisten = \"127.0.0.1:1\"\n", "[servers.Solo]?"),
        (1, "[server]\nlisten = \"127.0.0.1:1\"\n", "[servers.NAME]?"),
        (1, "[[server]]\nlisten = \"127.0.0.1:1\"\n", "[servers.NAME]?"),
        (1, "[place]\nprovider = \"file\"\n", "[places]?"),
        (
            1,
            "[[servers]]\nlisten = \"127.0.0.1:1\"\n",
            "[[servers]] begins a list, and herd.conf has none: write [servers.NAME]",
        ),
        (1, "[[servers.A]]\nlisten = \"127.0.0.1:1\"\n", "write [servers.A]"),
        (1, "[[places]]\nprovider = \"file\"\n", "write [places]"),
        (1, "[[timing]]\ncompare_ms = 30\n", "write [timing]"),
        (1, "[servers.a.b]\nlisten = \"127.0.0.1:1\"\n", "[servers.\"a.b\"]"),
    ] {
        check(text, line, &[meant]);
    }
    assert!(parse("zzz = 1\n").is_err_and(|error| error.contains("expected one of `workers`")));
}

#[test]
fn the_word_for_herdctl_is_no_name() {
    let why = parse("[servers.A]\nlisten = \"127.0.0.1:1\"\n[servers.ctl]\nlisten = \"127.0.0.1:2\"\n");
    let why = why.expect_err("refused");
    assert!(why.starts_with("etc/herd.conf:3: ") && why.contains("`herd ctl` is herdctl"), "{why}");
    assert!(parse("[servers.help]\nlisten = \"127.0.0.1:1\"\n").is_ok(), "`herd help` runs it");
}

#[cfg(not(feature = "backbone"))]
#[test]
fn a_build_without_the_feature_refuses_an_engine() {
    let server = "[servers.A]\nlisten = \"127.0.0.1:1\"\n";
    let why = &["this herd was built without the feature backbone", "--features backbone"];
    check(&format!("{server}[backbone]\nurls = [\"redis://127.0.0.1\"]\n"), 4, why);
    assert!(parse(&format!("backbone.parts = 4\n{server}backbone = true\n")).is_ok());
}

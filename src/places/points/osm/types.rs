//! Google's words for what OpenStreetMap tags: the one table, which docs/places.md shows whole. `tags` asks it.

/// A key, one of its values, and the types that stand for it, most telling first; sorted by key and value. Google's
/// are <https://developers.google.com/maps/documentation/places/web-service/legacy/supported_types>. The keys
/// `religion` and `station` say more of a place of worship and of a station, and stand before what that says itself.
pub const TYPES: &[(&str, &str, &str)] = &[
    ("aeroway", "aerodrome", "airport"),
    ("aeroway", "terminal", "airport"),
    ("amenity", "atm", "atm finance"),
    ("amenity", "bank", "bank finance"),
    ("amenity", "bar", "bar"),
    ("amenity", "bbq", "bbq"),
    ("amenity", "biergarten", "bar food"),
    ("amenity", "bureau_de_change", "finance"),
    ("amenity", "bus_station", "bus_station transit_station"),
    ("amenity", "cafe", "cafe food"),
    ("amenity", "car_rental", "car_rental"),
    ("amenity", "car_wash", "car_wash"),
    ("amenity", "casino", "casino"),
    ("amenity", "charging_station", "electric_vehicle_charging_station"),
    ("amenity", "cinema", "movie_theater"),
    ("amenity", "clinic", "doctor health"),
    ("amenity", "college", "university"),
    ("amenity", "courthouse", "courthouse"),
    ("amenity", "dentist", "dentist health"),
    ("amenity", "doctors", "doctor health"),
    ("amenity", "embassy", "embassy"),
    ("amenity", "fast_food", "meal_takeaway restaurant food"),
    ("amenity", "ferry_terminal", "ferry_terminal transit_station"),
    ("amenity", "fire_station", "fire_station"),
    ("amenity", "food_court", "restaurant food"),
    ("amenity", "fuel", "gas_station"),
    ("amenity", "grave_yard", "cemetery"),
    ("amenity", "hospital", "hospital health"),
    ("amenity", "ice_cream", "ice_cream food"),
    ("amenity", "library", "library"),
    ("amenity", "nightclub", "night_club"),
    ("amenity", "parking", "parking"),
    ("amenity", "pharmacy", "pharmacy drugstore health"),
    ("amenity", "place_of_worship", "place_of_worship"),
    ("amenity", "police", "police"),
    ("amenity", "post_office", "post_office"),
    ("amenity", "pub", "bar"),
    ("amenity", "restaurant", "restaurant food"),
    ("amenity", "school", "school"),
    ("amenity", "taxi", "taxi_stand"),
    ("amenity", "townhall", "city_hall local_government_office"),
    ("amenity", "university", "university"),
    ("amenity", "veterinary", "veterinary_care"),
    ("healthcare", "clinic", "doctor health"),
    ("healthcare", "dentist", "dentist health"),
    ("healthcare", "doctor", "doctor health"),
    ("healthcare", "hospital", "hospital health"),
    ("healthcare", "pharmacy", "pharmacy health"),
    ("healthcare", "physiotherapist", "physiotherapist health"),
    ("historic", "castle", "tourist_attraction landmark"),
    ("historic", "memorial", "memorial landmark"),
    ("historic", "monument", "monument landmark"),
    ("historic", "ruins", "tourist_attraction landmark"),
    ("leisure", "amusement_arcade", "amusement_arcade"),
    ("leisure", "bowling_alley", "bowling_alley"),
    ("leisure", "fitness_centre", "gym health"),
    ("leisure", "garden", "park"),
    ("leisure", "nature_reserve", "park natural_feature"),
    ("leisure", "park", "park"),
    ("leisure", "sports_centre", "gym health"),
    ("leisure", "stadium", "stadium"),
    ("leisure", "water_park", "amusement_park"),
    ("natural", "beach", "natural_feature"),
    ("natural", "peak", "natural_feature"),
    ("office", "accountant", "accounting finance"),
    ("office", "diplomatic", "embassy"),
    ("office", "estate_agent", "real_estate_agency"),
    ("office", "government", "local_government_office"),
    ("office", "insurance", "insurance_agency"),
    ("office", "lawyer", "lawyer"),
    ("office", "travel_agent", "travel_agency"),
    ("place", "borough", "sublocality political"),
    ("place", "city", "locality political"),
    ("place", "country", "country political"),
    ("place", "county", "administrative_area_level_2 political"),
    ("place", "hamlet", "locality political"),
    ("place", "island", "natural_feature"),
    ("place", "islet", "natural_feature"),
    ("place", "neighbourhood", "neighborhood political"),
    ("place", "quarter", "neighborhood political"),
    ("place", "square", "town_square"),
    ("place", "state", "administrative_area_level_1 political"),
    ("place", "suburb", "sublocality political"),
    ("place", "town", "locality political"),
    ("place", "village", "locality political"),
    ("public_transport", "station", "transit_station"),
    ("railway", "halt", "train_station transit_station"),
    ("railway", "station", "train_station transit_station"),
    ("railway", "tram_stop", "light_rail_station transit_station"),
    ("religion", "christian", "church"),
    ("religion", "hindu", "hindu_temple"),
    ("religion", "jewish", "synagogue"),
    ("religion", "muslim", "mosque"),
    ("shop", "alcohol", "liquor_store store"),
    ("shop", "bakery", "bakery food store"),
    ("shop", "beauty", "beauty_salon"),
    ("shop", "beverages", "liquor_store store"),
    ("shop", "bicycle", "bicycle_store store"),
    ("shop", "books", "book_store store"),
    ("shop", "butcher", "butcher food store"),
    ("shop", "car", "car_dealer store"),
    ("shop", "car_parts", "car_parts store"),
    ("shop", "car_repair", "car_repair"),
    ("shop", "chemist", "drugstore store"),
    ("shop", "clothes", "clothing_store store"),
    ("shop", "confectionery", "confectionery food store"),
    ("shop", "convenience", "convenience_store food store"),
    ("shop", "department_store", "department_store store"),
    ("shop", "doityourself", "hardware_store home_goods_store store"),
    ("shop", "electronics", "electronics_store store"),
    ("shop", "estate_agent", "real_estate_agency"),
    ("shop", "florist", "florist store"),
    ("shop", "funeral_directors", "funeral_home"),
    ("shop", "furniture", "furniture_store home_goods_store store"),
    ("shop", "greengrocer", "greengrocer food store"),
    ("shop", "hairdresser", "hair_care"),
    ("shop", "hardware", "hardware_store store"),
    ("shop", "houseware", "home_goods_store store"),
    ("shop", "jewelry", "jewelry_store store"),
    ("shop", "kiosk", "convenience_store store"),
    ("shop", "laundry", "laundry"),
    ("shop", "locksmith", "locksmith"),
    ("shop", "mall", "shopping_mall"),
    ("shop", "massage", "spa"),
    ("shop", "mobile_phone", "electronics_store store"),
    ("shop", "optician", "optician health store"),
    ("shop", "pet", "pet_store store"),
    ("shop", "shoes", "shoe_store store"),
    ("shop", "storage_rental", "storage"),
    ("shop", "supermarket", "supermarket grocery_or_supermarket food store"),
    ("shop", "ticket", "ticket store"),
    ("shop", "travel_agency", "travel_agency"),
    ("shop", "video", "movie_rental store"),
    ("shop", "wine", "liquor_store store"),
    ("shop", "yes", "store"),
    ("station", "light_rail", "light_rail_station"),
    ("station", "subway", "subway_station"),
    ("tourism", "apartment", "lodging"),
    ("tourism", "aquarium", "aquarium"),
    ("tourism", "attraction", "tourist_attraction"),
    ("tourism", "camp_site", "campground lodging"),
    ("tourism", "caravan_site", "rv_park campground lodging"),
    ("tourism", "chalet", "lodging"),
    ("tourism", "gallery", "art_gallery"),
    ("tourism", "guest_house", "lodging"),
    ("tourism", "hostel", "lodging"),
    ("tourism", "hotel", "lodging"),
    ("tourism", "motel", "lodging"),
    ("tourism", "museum", "museum"),
    ("tourism", "theme_park", "amusement_park"),
    ("tourism", "viewpoint", "tourist_attraction"),
    ("tourism", "zoo", "zoo"),
];

/// The types that stand for a tag; None where its own value is to.
pub fn types_of(key: &str, value: &str) -> Option<&'static str> {
    let found = TYPES.binary_search_by(|row| (row.0, row.1).cmp(&(key, value)));
    found.ok().map(|index| TYPES[index].2)
}

/// Another number for another table, for what was made by one.
pub fn version() -> u64 {
    let mut hash = xxhash_rust::xxh3::Xxh3::new();
    for (key, value, types) in TYPES {
        [key, "=", value, ":", types, "\n"].iter().for_each(|text| hash.update(text.as_bytes()));
    }
    hash.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_the_documentation_has_each_row() {
        assert!(TYPES.is_sorted_by(|a, b| (a.0, a.1) < (b.0, b.1)));
        let docs =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/places.md")).expect("text");
        let keys: std::collections::BTreeSet<_> = TYPES.iter().map(|row| row.0).collect();
        for key in keys {
            let rows = TYPES.iter().filter(|row| row.0 == key);
            let rows: Vec<_> = rows.map(|row| format!("{} → {}", row.1, row.2.replace(' ', "+"))).collect();
            let line = format!("| `{key}` | {} |", rows.join(", "));
            assert!(docs.contains(&line), "docs/places.md lacks\n{line}");
        }
    }
}

export function mount(place) { place.textContent = ""; return { update() {}, close() {} }; }

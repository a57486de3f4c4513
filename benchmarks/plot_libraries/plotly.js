const draw = (place, { figure }) => Plotly.newPlot(place, figure.data, { ...figure.layout, width: place.clientWidth, height: 320 });
